#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/evaluator.h"
#include "ashlar/text/jinja/loop.h"
#include "ashlar/text/jinja/macro.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/python_text.h"

namespace ashlar::text::jinja {

Evaluator::~Evaluator() {
  for (const ScopePtr& scope : captured_) scope->clear();
}

std::string Evaluator::run(const Body& body, const ScopePtr& variables) {
  std::string out;
  root_output_ = &out;
  execute(body.statements, enter(body, variables), out);
  return out;
}

Evaluator::ScopePtr Evaluator::enter(const Body& body, const ScopePtr& around) {
  ScopePtr scope = inner(around);
  runtime_.step(static_cast<int64_t>(body.unset.size()));
  for (const auto& [name, undefined] : body.unset) scope->declare(name, undefined);
  return scope;
}

Evaluator::Flow Evaluator::execute(const Block& body, const ScopePtr& scope, std::string& out) {
  for (const Statement& statement : body) {
    try {
      const Nesting nesting(runtime_);
      runtime_.step();
      const Flow flow =
          std::visit([&](const auto& kind) { return tag(kind, scope, out); }, statement.node);
      if (flow != Flow::kNext) return flow;
    } catch (const Fault& fault) {
      place(fault, statement.at);
    }
  }
  return Flow::kNext;
}

void Evaluator::print(std::string_view text, std::string& out) {
  runtime_.pay_bytes(text.size());
  if (out.size() + text.size() > static_cast<uint64_t>(runtime_.limits().max_output)) {
    fault("template prints more than {} bytes (max_output)", runtime_.limits().max_output);
  }
  out += text;
}

Evaluator::Flow Evaluator::tag(const DataStatement& tag, const ScopePtr&, std::string& out) {
  print(tag.text, out);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const PrintStatement& tag, const ScopePtr& scope, std::string& out) {
  const Value value = evaluate(*tag.value, scope);
  if (value.is_string()) {
    print(value.string(), out);
  } else {
    print(str(runtime_, value), out);
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const ForStatement& tag, const ScopePtr& scope, std::string& out) {
  const Value iterable = evaluate(*tag.iterable, scope);
  if (!tag.recursive) return run_loop(tag, iterable, 0, scope, out);
  std::string text;
  run_loop(tag, iterable, 0, scope, text);
  print(text, out);
  return Flow::kNext;
}

std::shared_ptr<Loop> Evaluator::make_loop(const ForStatement& tag, const Value& iterable,
                                           int64_t depth, const ScopePtr& scope) {
  Loop::Test test;
  if (tag.test != nullptr) {
    test = [this, &tag, scope](const Value& item) {
      runtime_.step();
      const ScopePtr candidate = inner(scope);
      assign(tag.target, item, candidate);
      return truthy(evaluate(*tag.test, candidate));
    };
  }
  Loop::Recurse recurse;
  if (tag.recursive) {
    recurse = [this, &tag, scope, depth](const Value& items) {
      const Nesting nesting(runtime_);
      std::string text;
      run_loop(tag, items, depth + 1, scope, text);
      return Value(std::move(text));
    };
  }
  return std::make_shared<Loop>(iterate(runtime_, iterable), std::move(test), std::move(recurse),
                                depth);
}

Evaluator::Flow Evaluator::run_loop(const ForStatement& tag, const Value& iterable, int64_t depth,
                                    const ScopePtr& scope, std::string& out) {
  const std::shared_ptr<Loop> loop = make_loop(tag, iterable, depth, scope);
  bool completed = false;  // some iteration; jinja2 runs the else branch where none did
  while (loop->advance()) {
    runtime_.step();
    const ScopePtr iteration = enter(tag.body, scope);
    iteration->set("loop", Value(loop));
    assign(tag.target, loop->item(), iteration);
    const Flow flow = execute(tag.body.statements, iteration, out);
    if (flow == Flow::kBreak) break;
    completed = completed || flow == Flow::kNext;
  }
  if (completed) return Flow::kNext;
  return execute(tag.otherwise.statements, enter(tag.otherwise, scope), out);
}

Evaluator::Flow Evaluator::tag(const IfStatement& tag, const ScopePtr& scope, std::string& out) {
  for (const auto& [test, body] : tag.branches) {
    if (truthy(evaluate(*test, scope))) return execute(body, scope, out);
  }
  return execute(tag.otherwise, scope, out);
}

Evaluator::Flow Evaluator::tag(const SetStatement& tag, const ScopePtr& scope, std::string&) {
  assign(tag.target, evaluate(*tag.value, scope), scope);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const SetBlockStatement& tag, const ScopePtr& scope, std::string&) {
  std::string text;
  const ScopePtr body_scope = enter(tag.body, scope);
  const Flow flow = execute(tag.body.statements, body_scope, text);
  if (flow != Flow::kNext) return flow;  // left before the assignment
  assign(tag.target,
         tag.filtered == nullptr ? Value(std::move(text))
                                 : filter_text(*tag.filtered, std::move(text), body_scope),
         scope);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const MacroStatement& tag, const ScopePtr& scope, std::string&) {
  scope->set(tag.code->name, make_macro(tag.code, scope));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const CallBlockStatement& tag, const ScopePtr& scope,
                               std::string& out) {
  const auto& call_expr = std::get<CallExpr>(tag.call->node);
  const Value function = evaluate(*call_expr.function, scope);
  Arguments arguments = evaluate_arguments(call_expr.arguments, scope);
  arguments.named.emplace_back("caller", make_macro(tag.code, scope));
  print(str(runtime_, call(runtime_, function, arguments)), out);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const FilterBlockStatement& tag, const ScopePtr& scope,
                               std::string& out) {
  std::string text;
  const ScopePtr body_scope = enter(tag.body, scope);
  const Flow flow = execute(tag.body.statements, body_scope, text);
  if (flow != Flow::kNext) return flow;
  const Value filtered = filter_text(*tag.filtered, std::move(text), body_scope);
  if (!filtered.is_string()) fault("filter block gives {}, not text", type_name(filtered));
  print(filtered.string(), out);
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const WithStatement& tag, const ScopePtr& scope, std::string& out) {
  const ScopePtr body_scope = enter(tag.body, scope);
  std::vector<Value> values;
  for (const auto& [target, expr] : tag.variables) values.push_back(evaluate(*expr, scope));
  for (size_t i = 0; i < values.size(); ++i) assign(tag.variables[i].first, values[i], body_scope);
  return execute(tag.body.statements, body_scope, out);
}

Evaluator::Flow Evaluator::tag(const GenerationStatement& tag, const ScopePtr& scope,
                               std::string& out) {
  const size_t begin = root_output_->size();
  const Value printed = call_macro(*tag.code, scope, {});
  const std::string& text = printed.string();
  print(text, out);
  generated_.push_back({begin, begin + text.size()});
  return Flow::kNext;
}

Evaluator::Flow Evaluator::tag(const BreakStatement&, const ScopePtr&, std::string&) {
  return Flow::kBreak;
}

Evaluator::Flow Evaluator::tag(const ContinueStatement&, const ScopePtr&, std::string&) {
  return Flow::kContinue;
}

void Evaluator::assign(const Target& target, const Value& value, const ScopePtr& scope) {
  if (target.is_tuple) {
    const std::vector<Value> items = iterate(runtime_, value);
    if (items.size() != target.items.size()) {
      fault("can't unpack {} values into {} names", items.size(), target.items.size());
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.items[i], items[i], scope);
  } else if (target.attribute.empty()) {
    scope->set(target.name, value);
  } else {
    const Value* object = scope->find(target.name);
    auto* space = object != nullptr && object->is_object()
                      ? dynamic_cast<Namespace*>(&object->object())
                      : nullptr;
    if (space == nullptr) fault("cannot assign attribute on non-namespace object");
    space->set(target.attribute, value);
  }
}

Value Evaluator::filter_text(const Expr& filtered, std::string text, const ScopePtr& scope) {
  block_texts_.emplace_back(std::move(text));
  Value value = evaluate(filtered, scope);
  block_texts_.pop_back();
  return value;
}

Value Evaluator::make_macro(const std::shared_ptr<const MacroCode>& code, const ScopePtr& scope) {
  runtime_.pay_bytes(128);
  if (captured_.empty() || captured_.back() != scope) captured_.push_back(scope);
  return Value(std::make_shared<Macro>(*this, code, scope));
}

}  // namespace ashlar::text::jinja
