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

}  // namespace ashlar::text::jinja
