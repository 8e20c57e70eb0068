#include "ashlar/text/jinja/lexer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/arithmetic.h"
#include "ashlar/text/jinja/number_literal.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/string_literal.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <array>
#include <optional>

namespace ashlar::text::jinja {
namespace {

// \r\n and \r become \n; one newline at the end goes.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

constexpr std::array<std::string_view, 26> kOperators = {
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where)
      : where_(where), source_(normalized(source)) {}

  std::vector<Token> run() {
    at_ = valid_utf8_prefix(source_);
    if (at_ < source_.size()) fail("not valid UTF-8");
    at_ = 0;
    while (at_ < source_.size()) root();
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  enum class Tag { kVariable, kBlock, kComment };

  [[noreturn]] void fail(std::string_view message) { fail_at(where_, position(at_), message); }

  // Offsets only grow from call to call, so counting goes on where it stopped.
  Position position(size_t offset) {
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] == '\n') {
        ++counted_position_.line;
        counted_position_.column = 1;
      } else if ((source_[counted_] & 0xC0) != 0x80) {
        ++counted_position_.column;
      }
    }
    return counted_position_;
  }

  Token& add(TokenType type, std::string text) {
    tokens_.push_back(Token{type, std::move(text), position(at_)});
    return tokens_.back();
  }

  bool starts_with(std::string_view text) const {
    return std::string_view(source_).substr(at_).starts_with(text);
  }

  size_t after_spaces(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(next_code_point(source_, next))) break;
      at = next;
    }
    return at;
  }

  size_t next_tag(size_t from) const {
    for (size_t at = source_.find('{', from); at != source_.npos; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() &&
          std::string_view("{%#").find(source_[at + 1]) != std::string_view::npos) {
        return at;
      }
    }
    return source_.npos;
  }

  // Emits source[at_, end) after the white space control that the tag behind it asks for.
  void add_data(size_t end, char sign, bool strips_line) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, std::nullopt, Side::kRight);
    } else if (sign != '+' && strips_line) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == text.npos ? 0 : newline + 1;
      if (line > 0 || line_starting_) {
        if (strip(text.substr(line), std::nullopt, Side::kBoth).empty())
          text = text.substr(0, line);
      }
    }
    if (!text.empty()) add(TokenType::kData, std::string(text));
    at_ = end;
  }

  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : 0;
  }

  // Data up to the next tag, and the tag.
  void root() {
    const size_t tag = next_tag(at_);
    if (tag == source_.npos) {
      add(TokenType::kData, source_.substr(at_));
      at_ = source_.size();
      return;
    }
    const char sign = sign_at(tag + 2);
    const char kind = source_[tag + 1];
    add_data(tag, sign, kind != '{');
    const size_t inside = tag + 2 + (sign != 0 ? 1 : 0);
    if (kind == '%') {
      if (const std::optional<size_t> raw = raw_tag_end(inside, "raw", false))
        return raw_block(*raw);
      add(TokenType::kBlockBegin, "{%");
    } else if (kind == '{') {
      add(TokenType::kVariableBegin, "{{");
    } else {
      return comment(inside);
    }
    at_ = inside;
    code(kind == '%');
  }

  void comment(size_t inside) {
    const size_t end = source_.find("#}", inside);
    if (end == source_.npos) fail("Missing end of comment tag");
    const char sign = end > inside ? sign_at(end - 1) : char{0};
    leave_tag(end + 2, sign, true);
  }

  // Behind a closing tag: '-' eats all white space, else a block eats one newline.
  void leave_tag(size_t end, char sign, bool trims) {
    size_t next = end;
    if (sign == '-') {
      next = after_spaces(end);
    } else if (sign != '+' && trims && next < source_.size() && source_[next] == '\n') {
      ++next;
    }
    at_ = next;
    line_starting_ = source_[next - 1] == '\n';
  }

  // `at` is behind "{%" and its sign. Where this is the tag `name`: the offset of its closing sign
  // or
  // "%}".
  std::optional<size_t> raw_tag_end(size_t at, std::string_view name, bool plus_allowed) const {
    at = after_spaces(at);
    if (!std::string_view(source_).substr(at).starts_with(name)) return std::nullopt;
    at = after_spaces(at + name.size());
    const char sign = sign_at(at);
    if (sign == '+' && !plus_allowed) return std::nullopt;
    if (std::string_view(source_).substr(at + (sign != 0 ? 1 : 0)).starts_with("%}")) return at;
    return std::nullopt;
  }

  void raw_block(size_t close) {
    const size_t tag_start = at_;
    const char open_sign = sign_at(close);
    leave_tag(close + (open_sign != 0 ? 1 : 0) + 2, open_sign, false);
    for (size_t tag = source_.find("{%", at_); tag != source_.npos;
         tag = source_.find("{%", tag + 2)) {
      const char sign = sign_at(tag + 2);
      const std::optional<size_t> end = raw_tag_end(tag + 2 + (sign != 0 ? 1 : 0), "endraw", true);
      if (!end) continue;
      add_data(tag, sign, true);
      const char end_sign = sign_at(*end);
      return leave_tag(*end + (end_sign != 0 ? 1 : 0) + 2, end_sign, true);
    }
    fail_at(where_, position(tag_start), "Missing end of raw directive");
  }

  // The tokens inside {{ }} or {% %}, and the closing tag.
  void code(bool block) {
    const Position opened = tokens_.back().at;
    const std::string_view close = block ? "%}" : "}}";
    std::string open_brackets;
    while (true) {
      at_ = after_spaces(at_);
      if (at_ >= source_.size()) {
        fail_at(where_, opened, fmt::format("tag is not closed, '{}' is missing", close));
      }
      if (open_brackets.empty()) {
        const char sign = sign_at(at_);
        const bool signed_close = sign == '-' || (sign == '+' && block);
        const size_t length = signed_close ? 1 : 0;
        if (std::string_view(source_).substr(at_ + length).starts_with(close)) {
          add(block ? TokenType::kBlockEnd : TokenType::kVariableEnd, std::string(close));
          return leave_tag(at_ + length + 2, signed_close ? sign : char{0}, block);
        }
      }
      token(open_brackets);
    }
  }

  void token(std::string& open_brackets) {
    const char c = source_[at_];
    if (c >= '0' && c <= '9') return number();
    if (c == '\'' || c == '"') return string(c);
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      const char32_t code = next_code_point(source_, next);
      if (code != '_' && !is_alnum(code)) break;
      end = next;
    }
    if (end > at_) {
      add(TokenType::kName, source_.substr(at_, end - at_));
      at_ = end;
      return;
    }
    for (const std::string_view symbol : kOperators) {
      if (!starts_with(symbol)) continue;
      balance(symbol[0], open_brackets);
      add(TokenType::kOperator, std::string(symbol));
      at_ += symbol.size();
      return;
    }
    size_t next = at_;
    next_code_point(source_, next);
    fail(fmt::format("unexpected char {}", in_quotes(source_.substr(at_, next - at_))));
  }

  void balance(char symbol, std::string& open_brackets) {
    if (symbol == '(') open_brackets += ')';
    if (symbol == '[') open_brackets += ']';
    if (symbol == '{') open_brackets += '}';
    if (symbol != ')' && symbol != ']' && symbol != '}') return;
    if (open_brackets.empty()) fail(fmt::format("unexpected '{}'", symbol));
    if (open_brackets.back() != symbol) {
      fail(fmt::format("unexpected '{}', expected '{}'", symbol, open_brackets.back()));
    }
    open_brackets.pop_back();
  }

  void number() {
    const NumberLiteral literal = scan_number(source_, at_);
    const std::string text = source_.substr(at_, literal.end - at_);
    if (literal.real) {
      add(TokenType::kFloat, text).number = parse_float(text).value();
    } else {
      try {
        const int64_t value = parse_int(text, 0).value();
        add(TokenType::kInteger, text).integer = value;
      } catch (const std::runtime_error&) {
        fail(fmt::format("integer {} does not fit in 64 bits", text));
      }
    }
    at_ = literal.end;
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("string is not closed");
    const std::string_view literal = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
    try {
      add(TokenType::kString, unescape_literal(literal));
    } catch (const std::runtime_error& error) {
      fail(error.what());
    }
    at_ = end + 1;
  }

  const std::string& where_;
  const std::string source_;
  size_t at_ = 0;
  bool line_starting_ = true;
  size_t counted_ = 0;
  Position counted_position_;
  std::vector<Token> tokens_;
};

}  // namespace

void fail_at(std::string_view where, Position at, std::string_view message) {
  ashlar::fail("{}:{}:{}: {}", where, at.line, at.column, message);
}

std::vector<Token> tokenize(std::string_view source, const std::string& where) {
  return Lexer(source, where).run();
}

}  // namespace ashlar::text::jinja
