// Cuts a template into tokens, with the white space control of transformers' set-up: trim_blocks
// (a newline behind a block tag goes) and lstrip_blocks (blanks before a block tag on its line go);
// `-` at a tag strips all white space there, `+` keeps it. Comments and raw tags leave no token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

// From 1; columns count code points.
struct Position {
  int line = 1, column = 1;
};

enum class TokenType {
  kData,           // text to print as it is
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kString,  // text: the value, escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type;
  std::string text;
  Position at;
  int64_t integer = 0;
  double number = 0;

  bool is(TokenType wanted) const { return type == wanted; }
  bool is_operator(std::string_view symbol) const {
    return type == TokenType::kOperator && text == symbol;
  }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

// "where:line:column: message"
[[noreturn]] void fail_at(std::string_view where, Position at, std::string_view message);

// `where` names the template in errors. The last token is kEnd.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

}  // namespace ashlar::text::jinja
