#include "ashlar/text/jinja/parser.h"

#include "ashlar/text/jinja/expression_parser.h"
#include "ashlar/text/jinja/unset_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

class Parser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body run() {
    Body body{block({}, {}), {}};
    if (!unknown_.empty()) fail(unknown_.front().at, unknown_.front().message);
    find_unset_names(body);
    return body;
  }

 private:
  // Statements up to a tag named in `ends`, whose name is then the current token. `tag` and
  // `opened` describe the tag the block belongs to.
  Block block(Names ends, std::string_view tag, Position opened = {}) {
    const Depth depth(*this);
    Block body;
    while (!current().is(TokenType::kEnd)) {
      const Position at = current().at;
      if (current().is(TokenType::kData)) {
        body.push_back({at, DataStatement{take().text}});
      } else if (current().is(TokenType::kVariableBegin)) {
        take();
        ExprPtr value = tuple({});
        expect(TokenType::kVariableEnd, "'}}'");
        body.push_back({at, PrintStatement{std::move(value)}});
      } else {
        expect(TokenType::kBlockBegin, "a tag");
        const bool ended = std::any_of(
            ends.begin(), ends.end(), [&](std::string_view end) { return current().is_name(end); });
        if (ended) return body;
        statement(body);
        expect(TokenType::kBlockEnd, "'%}'");
      }
    }
    if (!tag.empty()) {
      fail(opened, fmt::format("the tag '{}' is not closed: '{}' is missing", tag, *ends.begin()));
    }
    return body;
  }

  // The body behind a tag's own "%}", up to one of `ends`.
  Block body_until(Names ends, std::string_view tag, Position opened) {
    take_operator(":");
    expect(TokenType::kBlockEnd, "'%}'");
    return block(ends, tag, opened);
  }

  // A body that is a scope of its own and ends at `end`, which is taken.
  Body scope(std::string_view end, std::string_view tag, Position opened) {
    const size_t since = unknown_.size();
    Body body{body_until({end}, tag, opened), {}};
    take();
    keep_unknown(since);
    return body;
  }

  void statement(Block& out) {
    const Token& tag = current();
    if (!tag.is(TokenType::kName)) fail(fmt::format("tag name expected, found {}", described(tag)));
    const Position at = tag.at;
    const std::string name = tag.text;
    take();
    if (name == "for") return out.push_back({at, for_loop(at)});
    if (name == "if") return out.push_back({at, condition(at)});
    if (name == "set") return out.push_back(assignment(at));
    if (name == "macro") return out.push_back({at, macro(at)});
    if (name == "call") return out.push_back({at, call_block(at)});
    if (name == "filter") return out.push_back({at, filter_block(at)});
    if (name == "with") return out.push_back({at, with(at)});
    if (name == "generation") return out.push_back({at, generation(at)});
    if (name == "print") return print(out);
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail(at, fmt::format("'{}' outside of a loop", name));
      return name == "break" ? out.push_back({at, BreakStatement{}})
                             : out.push_back({at, ContinueStatement{}});
    }
    fail(at, fmt::format("unknown or unsupported tag '{}'", name));
  }

  void print(Block& out) {
    for (bool first = true; !current().is(TokenType::kBlockEnd); first = false) {
      if (!first) expect_operator(",");
      const Position at = current().at;
      out.push_back({at, PrintStatement{expression()}});
    }
  }

  ForStatement for_loop(Position at) {
    ForStatement loop;
    ++inside_for_;
    loop.target = target(false);
    check_not_loop(loop.target);
    if (!take_name("in")) fail(fmt::format("expected 'in', found {}", described(current())));
    loop.iterable = tuple({.conditions = false, .end_name = "recursive"});
    const size_t since = unknown_.size();
    if (take_name("if")) loop.test = expression();
    loop.recursive = take_name("recursive");
    ++loops_;
    loop.body.statements = body_until({"endfor", "else"}, "for", at);
    --loops_;
    if (take().text == "else") {
      // A recursive loop is a function: its else can't leave the loop around it.
      const int loops_outside = loop.recursive ? std::exchange(loops_, 0) : loops_;
      loop.otherwise.statements = body_until({"endfor"}, "for", at);
      loops_ = loops_outside;
      take();
    }
    keep_unknown(since);
    --inside_for_;
    return loop;
  }

  void check_not_loop(const Target& target) const {
    if (inside_for_ > 0 && names(target, "loop")) {
      fail(target.at, "can't assign to the special variable 'loop'");
    }
  }

  static bool names(const Target& target, std::string_view name) {
    return (target.name == name && target.attribute.empty()) ||
           std::any_of(target.items.begin(), target.items.end(),
                       [&](const Target& item) { return names(item, name); });
  }

  IfStatement condition(Position at) {
    IfStatement statement;
    const size_t since = unknown_.size();
    while (true) {
      ExprPtr test = tuple({.conditions = false});
      Block body = body_until({"endif", "elif", "else"}, "if", at);
      statement.branches.emplace_back(std::move(test), std::move(body));
      const std::string end = take().text;
      if (end == "elif") continue;
      if (end == "else") {
        statement.otherwise = body_until({"endif"}, "if", at);
        take();
      }
      forgive_unknown(since);
      return statement;
    }
  }

  Statement assignment(Position at) {
    Target to = target(true);
    check_not_loop(to);
    if (take_operator("=")) return {at, SetStatement{std::move(to), tuple({})}};
    ExprPtr filtered;
    if (current().is_operator("|")) filtered = filters(make(at, BlockTextExpr{}));
    Body body = scope("endset", "set", at);
    return {at, SetBlockStatement{std::move(to), std::move(filtered), std::move(body)}};
  }

  MacroStatement macro(Position at) {
    auto code = std::make_shared<MacroCode>();
    code->name = assignable_name();
    function(*code, true, "endmacro", "macro", at);
    return {std::move(code)};
  }

  CallBlockStatement call_block(Position at) {
    auto code = std::make_shared<MacroCode>();
    const bool has_signature = current().is_operator("(");
    if (has_signature) signature(*code);
    const Position call_at = current().at;
    ExprPtr call = expression();
    if (!std::holds_alternative<CallExpr>(call->node)) fail(call_at, "expected call");
    function(*code, false, "endcall", "call", at);
    return {std::move(code), std::move(call)};
  }

  // Parameters (where the signature comes here) and body of a macro or of a block that is one.
  void function(MacroCode& code, bool with_signature, std::string_view end, std::string_view tag,
                Position at) {
    const int loops_outside = std::exchange(loops_, 0);
    macros_.push_back(&code);
    if (with_signature) signature(code);
    code.body = scope(end, tag, at);
    macros_.pop_back();
    loops_ = loops_outside;
  }

  void signature(MacroCode& code) {
    expect_operator("(");
    while (!current().is_operator(")")) {
      if (!code.parameters.empty()) expect_operator(",");
      code.parameters.push_back(assignable_name());
      if (take_operator("=")) {
        code.defaults.push_back(expression());
      } else if (!code.defaults.empty()) {
        fail("non-default argument follows default argument");
      }
    }
    expect_operator(")");
  }

  FilterBlockStatement filter_block(Position at) {
    ExprPtr filtered = filters(make(at, BlockTextExpr{}), true);
    return {std::move(filtered), scope("endfilter", "filter", at)};
  }

  WithStatement with(Position at) {
    WithStatement statement;
    while (!current().is(TokenType::kBlockEnd) && !current().is_operator(":")) {
      if (!statement.variables.empty()) expect_operator(",");
      Target to = target(false);
      expect_operator("=");
      statement.variables.emplace_back(std::move(to), expression());
    }
    statement.body = scope("endwith", "with", at);
    return statement;
  }

  GenerationStatement generation(Position at) {
    auto code = std::make_shared<MacroCode>();
    function(*code, false, "endgeneration", "generation", at);
    return {std::move(code)};
  }

  std::string assignable_name() {
    const Position at = current().at;
    std::string name = expect_any_name("a name");
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
      if (name == reserved) fail(at, fmt::format("can't assign to '{}'", name));
    }
    return name;
  }

  // `a`, `a, b`, `(a, b), c`, and with namespaces: `ns.a`.
  Target target(bool namespaces) {
    const Depth depth(*this);
    const Position at = current().at;
    std::vector<Target> items;
    bool is_tuple = false;
    while (true) {
      items.push_back(single_target(namespaces));
      if (!take_operator(",")) break;
      is_tuple = true;
      const bool ends = current().is(TokenType::kBlockEnd) || current().is_operator(")") ||
                        current().is_operator("=") || current().is_name("in");
      if (ends) break;
    }
    if (!is_tuple) return std::move(items[0]);
    Target tuple{at, "", "", std::move(items), true};
    return tuple;
  }

  Target single_target(bool namespaces) {
    const Position at = current().at;
    if (take_operator("(")) {
      Target inner = target(namespaces);
      expect_operator(")");
      return inner;
    }
    if (!current().is(TokenType::kName)) {
      fail(fmt::format("can't assign to {}", described(current())));
    }
    Target to;
    to.at = at;
    to.name = assignable_name();
    if (namespaces && take_operator("."))
      to.attribute = expect_any_name("the name of an attribute");
    return to;
  }

  int inside_for_ = 0;  // the for tags around the current tag, also through macros
  int loops_ = 0;       // the loops around the current tag that `break` may leave
};

}  // namespace

Body parse(std::string_view source, const std::string& where, int max_nesting) {
  return Parser(tokenize(source, where), where, max_nesting).run();
}

}  // namespace ashlar::text::jinja
