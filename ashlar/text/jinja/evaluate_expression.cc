#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/evaluator.h"
#include "ashlar/text/jinja/python_text.h"

namespace ashlar::text::jinja {

Value Evaluator::evaluate(const Expr& expr, const ScopePtr& scope) {
  const Nesting nesting(runtime_);
  try {
    runtime_.step();
    return std::visit([&](const auto& kind) { return node(kind, scope); }, expr.node);
  } catch (const Fault& fault) {
    place(fault, expr.at);
  }
}

Value Evaluator::evaluate_or_none(const ExprPtr& expr, const ScopePtr& scope) {
  return expr == nullptr ? Value() : evaluate(*expr, scope);
}

std::vector<Value> Evaluator::evaluate_all(const std::vector<ExprPtr>& exprs,
                                           const ScopePtr& scope) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) values.push_back(evaluate(*expr, scope));
  runtime_.pay_items(values.size());
  return values;
}

Arguments Evaluator::evaluate_arguments(const CallArguments& arguments, const ScopePtr& scope) {
  Arguments values;
  values.positional = evaluate_all(arguments.positional, scope);
  for (const auto& [name, expr] : arguments.named) {
    values.named.emplace_back(name, evaluate(*expr, scope));
  }
  if (arguments.more_positional != nullptr) {
    const Value more = evaluate(*arguments.more_positional, scope);
    for (Value& item : iterate(runtime_, more)) values.positional.push_back(std::move(item));
  }
  if (arguments.more_named != nullptr) {
    const Value more = evaluate(*arguments.more_named, scope);
    if (!more.is_dict()) fault("argument after ** must be a mapping, not {}", type_name(more));
    for (const auto& [key, value] : more.dict().entries()) {
      if (!key.is_string()) fault("keywords must be strings");
      for (const auto& [name, other] : values.named) {
        if (name == key.string()) fault("got multiple values for keyword argument '{}'", name);
      }
      runtime_.step();
      values.named.emplace_back(key.string(), value);
    }
  }
  return values;
}

Value Evaluator::node(const Literal& expr, const ScopePtr&) { return expr.value; }

Value Evaluator::node(const NameExpr& expr, const ScopePtr& scope) {
  if (const Value* value = scope->find(expr.name)) return *value;
  return Value::undefined(fmt::format("'{}' is undefined", expr.name));
}

Value Evaluator::node(const TupleExpr& expr, const ScopePtr& scope) {
  return Value::tuple(evaluate_all(expr.items, scope));
}

Value Evaluator::node(const ListExpr& expr, const ScopePtr& scope) {
  return Value::list(evaluate_all(expr.items, scope));
}

Value Evaluator::node(const DictExpr& expr, const ScopePtr& scope) {
  runtime_.pay_items(2 * expr.entries.size());
  Dict dict;
  for (const auto& [key_expr, value_expr] : expr.entries) {
    const Value key = evaluate(*key_expr, scope);
    runtime_.step(key.weight());
    dict.set(key, evaluate(*value_expr, scope));
  }
  return Value(std::move(dict));
}

Value Evaluator::node(const ConditionalExpr& expr, const ScopePtr& scope) {
  if (truthy(evaluate(*expr.test, scope))) return evaluate(*expr.then, scope);
  if (expr.otherwise != nullptr) return evaluate(*expr.otherwise, scope);
  return Value::undefined(
      "the inline if-expression evaluated to false and no else section was defined");
}

Value Evaluator::node(const BinaryExpr& expr, const ScopePtr& scope) {
  const Value left = evaluate(*expr.left, scope);
  return apply(runtime_, expr.op, left, evaluate(*expr.right, scope));
}

Value Evaluator::node(const LogicalExpr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.left, scope);
  if (truthy(left) != expr.is_and) return left;
  return evaluate(*expr.right, scope);
}

Value Evaluator::node(const NotExpr& expr, const ScopePtr& scope) {
  return Value(!truthy(evaluate(*expr.operand, scope)));
}

Value Evaluator::node(const SignExpr& expr, const ScopePtr& scope) {
  const Value value = evaluate(*expr.operand, scope);
  return expr.negative ? negate(value) : identity(value);
}

Value Evaluator::node(const ConcatExpr& expr, const ScopePtr& scope) {
  std::string out;
  for (const Value& part : evaluate_all(expr.parts, scope)) out += str(runtime_, part);
  return Value(std::move(out));
}

Value Evaluator::node(const ComparisonExpr& expr, const ScopePtr& scope) {
  Value left = evaluate(*expr.first, scope);
  for (const auto& [op, right_expr] : expr.rest) {
    Value right = evaluate(*right_expr, scope);
    if (!compare(runtime_, op, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Evaluator::node(const AttributeExpr& expr, const ScopePtr& scope) {
  return get_attribute(runtime_, evaluate(*expr.object, scope), expr.name);
}

Value Evaluator::node(const ItemExpr& expr, const ScopePtr& scope) {
  const Value object = evaluate(*expr.object, scope);
  return get_item(runtime_, object, evaluate(*expr.key, scope));
}

Value Evaluator::node(const SliceExpr& expr, const ScopePtr& scope) {
  const Value object = evaluate(*expr.object, scope);
  const Value start = evaluate_or_none(expr.start, scope);
  const Value stop = evaluate_or_none(expr.stop, scope);
  return get_slice(runtime_, object, start, stop, evaluate_or_none(expr.step, scope));
}

Value Evaluator::node(const CallExpr& expr, const ScopePtr& scope) {
  const Value function = evaluate(*expr.function, scope);
  return call(runtime_, function, evaluate_arguments(expr.arguments, scope));
}

Value Evaluator::node(const FilterExpr& expr, const ScopePtr& scope) {
  if (expr.filter == nullptr) fault("No filter named '{}'.", expr.name);
  const Value operand = evaluate(*expr.operand, scope);
  return expr.filter(runtime_, operand, evaluate_arguments(expr.arguments, scope));
}

Value Evaluator::node(const TestExpr& expr, const ScopePtr& scope) {
  if (expr.predicate == nullptr) fault("No test named '{}'.", expr.name);
  const Value operand = evaluate(*expr.operand, scope);
  return Value(expr.predicate(runtime_, operand, evaluate_arguments(expr.arguments, scope)));
}

Value Evaluator::node(const BlockTextExpr&, const ScopePtr&) { return block_texts_.back(); }

}  // namespace ashlar::text::jinja
