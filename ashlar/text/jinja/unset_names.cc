#include "ashlar/text/jinja/unset_names.h"

#include <fmt/format.h>

#include <functional>
#include <set>

namespace ashlar::text::jinja {
namespace {

// What one body mentions itself; the bodies inside it have frames of their own.
class Frame {
 public:
  explicit Frame(const Frame* around) : around_(around) {}

  void read(const std::string& name) { mentioned_.insert(name); }
  void read(const ExprPtr& expr) {
    if (expr != nullptr) {
      std::visit([this](const auto& node) { read(node); }, expr->node);
    }
  }
  void read(const std::vector<ExprPtr>& exprs) {
    for (const ExprPtr& expr : exprs) read(expr);
  }
  // Names that have a value when the body begins.
  void bind(const std::string& name) { mentioned_.insert(name); }
  void bind(const Target& target) {
    for_each_name(target, [this](const std::string& name) { bind(name); });
  }
  // A body set only where a condition holds may leave the name as it was outside.
  void set(const std::string& name, bool conditional, Body& body) {
    if (mentioned_.insert(name).second && !conditional && !mentioned_around(name)) {
      body.unset.emplace_back(name, Value::undefined(fmt::format("'{}' is undefined", name)));
    }
  }
  void set(const Target& target, bool conditional, Body& body) {
    if (!target.is_tuple && !target.attribute.empty()) return read(target.name);
    for (const Target& item : target.items) set(item, conditional, body);
    if (!target.is_tuple) set(target.name, conditional, body);
  }

 private:
  template <typename Visit>
  static void for_each_name(const Target& target, const Visit& visit) {
    for (const Target& item : target.items) for_each_name(item, visit);
    if (!target.is_tuple) visit(target.name);
  }

  bool mentioned_around(const std::string& name) const {
    for (const Frame* frame = around_; frame != nullptr; frame = frame->around_) {
      if (frame->mentioned_.contains(name)) return true;
    }
    return false;
  }

  void read(const Literal&) {}
  void read(const BlockTextExpr&) {}
  void read(const NameExpr& expr) { read(expr.name); }
  void read(const TupleExpr& expr) { read(expr.items); }
  void read(const ListExpr& expr) { read(expr.items); }
  void read(const DictExpr& expr) {
    for (const auto& [key, value] : expr.entries) {
      read(key);
      read(value);
    }
  }
  void read(const ConditionalExpr& expr) {
    read(expr.test);
    read(expr.then);
    read(expr.otherwise);
  }
  void read(const BinaryExpr& expr) {
    read(expr.left);
    read(expr.right);
  }
  void read(const LogicalExpr& expr) {
    read(expr.left);
    read(expr.right);
  }
  void read(const NotExpr& expr) { read(expr.operand); }
  void read(const SignExpr& expr) { read(expr.operand); }
  void read(const ConcatExpr& expr) { read(expr.parts); }
  void read(const ComparisonExpr& expr) {
    read(expr.first);
    for (const auto& [op, operand] : expr.rest) read(operand);
  }
  void read(const AttributeExpr& expr) { read(expr.object); }
  void read(const ItemExpr& expr) {
    read(expr.object);
    read(expr.key);
  }
  void read(const SliceExpr& expr) {
    for (const ExprPtr* part : {&expr.object, &expr.start, &expr.stop, &expr.step}) read(*part);
  }
  void read(const CallArguments& arguments) {
    read(arguments.positional);
    for (const auto& [name, value] : arguments.named) read(value);
    read(arguments.more_positional);
    read(arguments.more_named);
  }
  void read(const CallExpr& expr) {
    read(expr.function);
    read(expr.arguments);
  }
  void read(const FilterExpr& expr) {
    read(expr.operand);
    read(expr.arguments);
  }
  void read(const TestExpr& expr) {
    read(expr.operand);
    read(expr.arguments);
  }

  const Frame* around_;
  std::set<std::string, std::less<>> mentioned_;
};

// What the statements of `body` mention, in their order, without the bodies inside it.
class Mentions {
 public:
  Mentions(Frame& frame, Body& body) : frame_(frame), body_(body) { visit(body.statements); }

 private:
  void visit(const Block& block) {
    for (const Statement& statement : block) {
      std::visit([this](const auto& tag) { visit(tag); }, statement.node);
    }
  }
  void visit(const DataStatement&) {}
  void visit(const PrintStatement& tag) { frame_.read(tag.value); }
  void visit(const ForStatement& tag) { frame_.read(tag.iterable); }
  void visit(const IfStatement& tag) {
    ++conditions_;
    for (const auto& [test, block] : tag.branches) {
      frame_.read(test);
      visit(block);
    }
    visit(tag.otherwise);
    --conditions_;
  }
  void visit(const SetStatement& tag) {
    frame_.read(tag.value);
    frame_.set(tag.target, conditions_ > 0, body_);
  }
  void visit(const SetBlockStatement& tag) { frame_.set(tag.target, conditions_ > 0, body_); }
  void visit(const MacroStatement& tag) { frame_.set(tag.code->name, conditions_ > 0, body_); }
  void visit(const CallBlockStatement& tag) { frame_.read(tag.call); }
  void visit(const FilterBlockStatement& tag) { frame_.read(tag.filtered); }
  void visit(const WithStatement& tag) {
    for (const auto& [target, value] : tag.variables) frame_.read(value);
  }
  void visit(const GenerationStatement&) {}
  void visit(const BreakStatement&) {}
  void visit(const ContinueStatement&) {}

  Frame& frame_;
  Body& body_;
  int conditions_ = 0;  // the `if` tags around the statement
};

void find_in(Body& body, Frame& frame);

// The bodies inside a block, whose frame is known in full by now.
class InnerBodies {
 public:
  explicit InnerBodies(const Frame& frame) : frame_(frame) {}

  void visit(Block& block) {
    for (Statement& statement : block) {
      std::visit([this](auto& tag) { visit(tag); }, statement.node);
    }
  }

 private:
  template <typename Tag>
  void visit(Tag&) {}  // no body in it
  void visit(IfStatement& tag) {
    for (auto& [test, block] : tag.branches) visit(block);
    visit(tag.otherwise);
  }
  void visit(ForStatement& tag) {
    Frame items(&frame_), otherwise(&frame_);
    items.bind("loop");
    items.bind(tag.target);
    find_in(tag.body, items);
    find_in(tag.otherwise, otherwise);
  }
  void visit(SetBlockStatement& tag) { visit(tag.body); }
  void visit(FilterBlockStatement& tag) { visit(tag.body); }
  void visit(MacroStatement& tag) { visit(*tag.code); }
  void visit(CallBlockStatement& tag) { visit(*tag.code); }
  void visit(GenerationStatement& tag) { visit(*tag.code); }
  void visit(WithStatement& tag) {
    Frame frame(&frame_);
    for (const auto& [target, value] : tag.variables) frame.bind(target);
    find_in(tag.body, frame);
  }
  void visit(MacroCode& code) {
    Frame frame(&frame_);
    for (const char* name : {"caller", "kwargs", "varargs"}) frame.bind(name);
    for (const std::string& name : code.parameters) frame.bind(name);
    frame.read(code.defaults);
    find_in(code.body, frame);
  }
  void visit(Body& body) {
    Frame frame(&frame_);
    find_in(body, frame);
  }

  const Frame& frame_;
};

void find_in(Body& body, Frame& frame) {
  const Mentions mentions(frame, body);
  InnerBodies(frame).visit(body.statements);
}

}  // namespace

void find_unset_names(Body& root) {
  Frame frame(nullptr);
  find_in(root, frame);
}

}  // namespace ashlar::text::jinja
