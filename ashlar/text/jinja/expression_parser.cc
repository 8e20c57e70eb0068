#include "ashlar/text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace ashlar::text::jinja {
namespace {

std::optional<CompareOp> compare_op(const Token& token) {
  if (token.is_operator("==")) return CompareOp::kEq;
  if (token.is_operator("!=")) return CompareOp::kNe;
  if (token.is_operator("<")) return CompareOp::kLt;
  if (token.is_operator("<=")) return CompareOp::kLe;
  if (token.is_operator(">")) return CompareOp::kGt;
  if (token.is_operator(">=")) return CompareOp::kGe;
  if (token.is_name("in")) return CompareOp::kIn;
  return std::nullopt;
}

std::optional<BinaryOp> product_op(const Token& token) {
  if (token.is_operator("*")) return BinaryOp::kMul;
  if (token.is_operator("/")) return BinaryOp::kDiv;
  if (token.is_operator("//")) return BinaryOp::kFloorDiv;
  if (token.is_operator("%")) return BinaryOp::kMod;
  return std::nullopt;
}

// Whether the token can begin the unparenthesised argument of a test: `x is divisibleby 3`.
bool begins_test_argument(const Token& token) {
  switch (token.type) {
    case TokenType::kName:
      return !token.is_name("else") && !token.is_name("or") && !token.is_name("and");
    case TokenType::kString:
    case TokenType::kInteger:
    case TokenType::kFloat:
      return true;
    case TokenType::kOperator:
      return token.text == "(" || token.text == "[" || token.text == "{";
    default:
      return false;
  }
}

}  // namespace

std::string described(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "text";
    case TokenType::kString:
      return "a string";
    case TokenType::kEnd:
      return "the end of the template";
    default:
      return fmt::format("'{}'", token.text);
  }
}

void ExpressionParser::Depth::deepen() {
  if (++parser_.nesting_ > parser_.max_nesting_) {
    parser_.fail(fmt::format("template nests deeper than {} levels (max_parse_nesting)",
                             parser_.max_nesting_));
  }
}

const Token& ExpressionParser::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::take_operator(std::string_view symbol) {
  if (!current().is_operator(symbol)) return false;
  take();
  return true;
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

void ExpressionParser::expect_operator(std::string_view symbol) {
  if (!take_operator(symbol)) {
    fail(fmt::format("expected '{}', found {}", symbol, described(current())));
  }
}

void ExpressionParser::expect(TokenType type, std::string_view what) {
  if (!current().is(type)) fail(fmt::format("expected {}, found {}", what, described(current())));
  take();
}

std::string ExpressionParser::expect_any_name(std::string_view what) {
  if (!current().is(TokenType::kName)) {
    fail(fmt::format("expected {}, found {}", what, described(current())));
  }
  return take().text;
}

ExprPtr ExpressionParser::expression(bool conditions) {
  const Depth depth(*this);
  return conditions ? conditional() : logical_or();
}

ExprPtr ExpressionParser::conditional() {
  Depth depth(*this);
  const Position at = current().at;
  const size_t since = unknown_.size();
  ExprPtr value = logical_or();
  while (take_name("if")) {
    depth.deepen();
    ExprPtr test = logical_or();
    ExprPtr otherwise = take_name("else") ? expression() : nullptr;
    value = make(at, ConditionalExpr{std::move(test), std::move(value), std::move(otherwise)});
    forgive_unknown(since);
  }
  return value;
}

void ExpressionParser::forgive_unknown(size_t since) {
  const auto first = unknown_.begin() + static_cast<std::ptrdiff_t>(since);
  const auto forgiven = [](const Unknown& unknown) { return !unknown.in_inner_scope; };
  unknown_.erase(std::remove_if(first, unknown_.end(), forgiven), unknown_.end());
}

void ExpressionParser::keep_unknown(size_t since) {
  for (size_t i = since; i < unknown_.size(); ++i) unknown_[i].in_inner_scope = true;
}

ExprPtr ExpressionParser::logical_or() {
  Depth depth(*this);
  const Position at = current().at;
  ExprPtr left = logical_and();
  while (take_name("or")) {
    depth.deepen();
    left = make(at, LogicalExpr{false, std::move(left), logical_and()});
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  Depth depth(*this);
  const Position at = current().at;
  ExprPtr left = logical_not();
  while (take_name("and")) {
    depth.deepen();
    left = make(at, LogicalExpr{true, std::move(left), logical_not()});
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  if (!current().is_name("not")) return comparison();
  const Depth depth(*this);
  const Position at = take().at;
  return make(at, NotExpr{logical_not()});
}

ExprPtr ExpressionParser::comparison() {
  const Position at = current().at;
  ExprPtr first = sum();
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  while (true) {
    if (const std::optional<CompareOp> op = compare_op(current())) {
      take();
      rest.emplace_back(*op, sum());
    } else if (current().is_name("not") && ahead().is_name("in")) {
      take();
      take();
      rest.emplace_back(CompareOp::kNotIn, sum());
    } else {
      break;
    }
  }
  if (rest.empty()) return first;
  return make(at, ComparisonExpr{std::move(first), std::move(rest)});
}

ExprPtr ExpressionParser::sum() {
  Depth depth(*this);
  ExprPtr left = concatenation();
  while (current().is_operator("+") || current().is_operator("-")) {
    depth.deepen();
    const Token& op = take();
    const BinaryOp kind = op.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    left = make(op.at, BinaryExpr{kind, std::move(left), concatenation()});
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  const Position at = current().at;
  std::vector<ExprPtr> parts;
  parts.push_back(product());
  while (take_operator("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts[0]);
  return make(at, ConcatExpr{std::move(parts)});
}

ExprPtr ExpressionParser::product() {
  Depth depth(*this);
  ExprPtr left = power();
  while (const std::optional<BinaryOp> op = product_op(current())) {
    depth.deepen();
    const Position at = take().at;
    left = make(at, BinaryExpr{*op, std::move(left), power()});
  }
  return left;
}

ExprPtr ExpressionParser::power() {
  Depth depth(*this);
  ExprPtr left = unary();
  while (current().is_operator("**")) {
    depth.deepen();
    const Position at = take().at;
    left = make(at, BinaryExpr{BinaryOp::kPow, std::move(left), unary()});
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  const Depth depth(*this);
  ExprPtr operand;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Token& sign = take();
    operand = make(sign.at, SignExpr{sign.text == "-", unary(false)});
  } else {
    operand = primary();
  }
  operand = postfix(std::move(operand));
  return with_filters ? filters_and_tests(std::move(operand)) : std::move(operand);
}

ExprPtr ExpressionParser::postfix(ExprPtr operand) {
  Depth depth(*this);
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      operand = subscript(std::move(operand));
    } else if (current().is_operator("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
    depth.deepen();
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr operand) {
  Depth depth(*this);
  while (true) {
    if (current().is_operator("|")) {
      operand = filters(std::move(operand));
    } else if (current().is_name("is")) {
      operand = test(std::move(operand));
    } else if (current().is_operator("(")) {
      operand = call(std::move(operand));
    } else {
      return operand;
    }
    depth.deepen();
  }
}

ExprPtr ExpressionParser::filters(ExprPtr operand, bool starts_inline) {
  Depth depth(*this);
  while (starts_inline || current().is_operator("|")) {
    if (!starts_inline) take();
    starts_inline = false;
    depth.deepen();
    const Position at = current().at;
    std::string name = dotted_name("the name of a filter");
    const Filter filter = find_filter(name);
    if (filter == nullptr) unknown_.push_back({at, fmt::format("No filter named '{}'.", name)});
    CallArguments arguments;
    if (current().is_operator("(")) arguments = call_arguments();
    operand =
        make(at, FilterExpr{std::move(operand), std::move(name), filter, std::move(arguments)});
  }
  return operand;
}

ExprPtr ExpressionParser::test(ExprPtr operand) {
  Depth depth(*this);
  take();
  const bool negated = take_name("not");
  const Position at = current().at;
  std::string name = dotted_name("the name of a test");
  const Predicate predicate = find_predicate(name);
  if (predicate == nullptr) unknown_.push_back({at, fmt::format("No test named '{}'.", name)});
  CallArguments arguments;
  if (current().is_operator("(")) {
    arguments = call_arguments();
  } else if (begins_test_argument(current())) {
    if (current().is_name("is")) fail("You cannot chain multiple tests with is");
    arguments.positional.push_back(postfix(primary()));
  }
  ExprPtr test =
      make(at, TestExpr{std::move(operand), std::move(name), predicate, std::move(arguments)});
  return negated ? make(at, NotExpr{std::move(test)}) : std::move(test);
}

std::string ExpressionParser::dotted_name(std::string_view what) {
  std::string name = expect_any_name(what);
  while (take_operator(".")) name += "." + expect_any_name(what);
  return name;
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
  const Token& token = take();
  if (token.is_operator("[")) return bracket(std::move(object), token.at);
  if (current().is(TokenType::kInteger)) {
    const Token& index = take();
    return make(token.at,
                ItemExpr{std::move(object), make(index.at, Literal{Value(index.integer)})});
  }
  return make(token.at, AttributeExpr{std::move(object), expect_any_name("a name or number")});
}

// Behind "[": a key, or up to three bounds of a slice. Several keys make a tuple.
ExprPtr ExpressionParser::bracket(ExprPtr object, Position at) {
  const auto bound = [&]() -> ExprPtr {
    const bool absent = current().is_operator(":") || current().is_operator("]");
    return absent ? nullptr : expression();
  };
  ExprPtr first = bound();
  if (take_operator(":")) {
    ExprPtr stop = bound();
    ExprPtr step = take_operator(":") ? bound() : nullptr;
    expect_operator("]");
    return make(at,
                SliceExpr{std::move(object), std::move(first), std::move(stop), std::move(step)});
  }
  std::vector<ExprPtr> keys;
  if (first != nullptr) keys.push_back(std::move(first));
  while (!keys.empty() && take_operator(",")) keys.push_back(expression());
  expect_operator("]");
  ExprPtr key = keys.size() == 1 ? std::move(keys[0]) : make(at, TupleExpr{std::move(keys)});
  return make(at, ItemExpr{std::move(object), std::move(key)});
}

ExprPtr ExpressionParser::call(ExprPtr function) {
  const Position at = current().at;
  return make(at, CallExpr{std::move(function), call_arguments()});
}

CallArguments ExpressionParser::call_arguments() {
  const Depth depth(*this);
  const Position at = current().at;
  CallArguments arguments;
  const auto ensure = [&](bool valid) {
    if (!valid) fail(at, "invalid syntax for function call expression");
  };
  expect_operator("(");
  for (bool first = true; !current().is_operator(")"); first = false) {
    if (!first) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    const bool no_stars = !arguments.more_positional && !arguments.more_named;
    if (take_operator("*")) {
      ensure(no_stars);
      arguments.more_positional = expression();
    } else if (take_operator("**")) {
      ensure(!arguments.more_named);
      arguments.more_named = expression();
    } else if (current().is(TokenType::kName) && ahead().is_operator("=")) {
      ensure(!arguments.more_named);
      std::string name = take().text;
      take();
      for (const auto& [other, value] : arguments.named) ensure(other != name);
      arguments.named.emplace_back(std::move(name), expression());
    } else {
      ensure(no_stars && arguments.named.empty());
      arguments.positional.push_back(expression());
    }
  }
  expect_operator(")");
  return arguments;
}

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
