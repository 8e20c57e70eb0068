// Where an expression begins: names, literals, lists, dicts and tuples.
#include "ashlar/text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <utility>

namespace ashlar::text::jinja {

ExprPtr ExpressionParser::primary() {
  const Depth depth(*this);
  const Token& token = current();
  switch (token.type) {
    case TokenType::kName:
      return name();
    case TokenType::kString:
      return string();
    case TokenType::kInteger:
      return make(take().at, Literal{Value(token.integer)});
    case TokenType::kFloat:
      return make(take().at, Literal{Value(token.number)});
    case TokenType::kOperator:
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      if (token.text == "(") {
        take();
        ExprPtr inner = tuple({.parentheses = true});
        expect_operator(")");
        return inner;
      }
      break;
    default:
      break;
  }
  fail(fmt::format("unexpected {}", described(token)));
}

ExprPtr ExpressionParser::name() {
  const Token& token = take();
  const std::string& text = token.text;
  if (text == "true" || text == "True") return make(token.at, Literal{Value(true)});
  if (text == "false" || text == "False") return make(token.at, Literal{Value(false)});
  if (text == "none" || text == "None") return make(token.at, Literal{Value()});
  for (MacroCode* macro : macros_) {
    if (text == "caller") macro->uses_caller = true;
    if (text == "varargs") macro->uses_varargs = true;
    if (text == "kwargs") macro->uses_kwargs = true;
  }
  return make(token.at, NameExpr{text});
}

ExprPtr ExpressionParser::string() {
  const Position at = current().at;
  std::string text;
  while (current().is(TokenType::kString)) text += take().text;
  return make(at, Literal{Value(std::move(text))});
}

ExprPtr ExpressionParser::list() {
  const Position at = take().at;
  std::vector<ExprPtr> items;
  while (!current().is_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (current().is_operator("]")) break;
    items.push_back(expression());
  }
  expect_operator("]");
  return make(at, ListExpr{std::move(items)});
}

ExprPtr ExpressionParser::dict() {
  const Position at = take().at;
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
  while (!current().is_operator("}")) {
    if (!entries.empty()) expect_operator(",");
    if (current().is_operator("}")) break;
    ExprPtr key = expression();
    expect_operator(":");
    entries.emplace_back(std::move(key), expression());
  }
  expect_operator("}");
  return make(at, DictExpr{std::move(entries)});
}

bool ExpressionParser::at_tuple_end(const TupleRules& rules) const {
  return current().is(TokenType::kVariableEnd) || current().is(TokenType::kBlockEnd) ||
         current().is_operator(")") ||
         (!rules.end_name.empty() && current().is_name(rules.end_name));
}

ExprPtr ExpressionParser::tuple(const TupleRules& rules) {
  const Position at = current().at;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (at_tuple_end(rules)) break;
    items.push_back(expression(rules.conditions));
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.size() == 1) return std::move(items[0]);
  if (!is_tuple && !rules.parentheses) {
    fail(fmt::format("Expected an expression, got {}", described(current())));
  }
  return make(at, TupleExpr{std::move(items)});
}

}  // namespace ashlar::text::jinja
