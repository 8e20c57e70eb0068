// What may follow an operand: members, calls, filters and tests.
#include "ashlar/text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <utility>

namespace ashlar::text::jinja {
namespace {

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

}  // namespace ashlar::text::jinja
