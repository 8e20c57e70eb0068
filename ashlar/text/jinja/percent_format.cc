#include "ashlar/text/jinja/arithmetic.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/format.h"
#include "ashlar/text/jinja/number_format.h"
#include "ashlar/text/jinja/object.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <cctype>

namespace ashlar::text::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), text_(format.string()), escape_(format.is_markup()), values_(values) {}

  std::string run() {
    std::string out;
    while (at_ < text_.size()) {
      runtime_.step();
      const size_t percent = std::min(text_.find('%', at_), text_.size());
      append(out, std::string_view(text_).substr(at_, percent - at_));
      at_ = percent;
      if (at_ < text_.size()) append(out, conversion());
    }
    const bool all_used = values_.is_tuple() ? used_ >= values_.items().size()
                                             : used_ > 0 || mapping_used_ || is_mapping_like();
    if (!all_used) fault("not all arguments converted during string formatting");
    return out;
  }

 private:
  // Python asks for __getitem__, so what has it may go unused.
  bool is_mapping_like() const {
    return values_.is_dict() || values_.is_list() || values_.is_undefined() ||
           (values_.is_object() && values_.object().subscriptable());
  }

  void append(std::string& out, std::string_view text) {
    runtime_.pay_bytes(text.size());
    out += text;
  }

  char current() const {
    if (at_ >= text_.size()) fault("incomplete format");
    return text_[at_];
  }

  const Value& next_value() {
    if (values_.is_tuple()) {
      if (used_ >= values_.items().size()) fault("not enough arguments for format string");
      return values_.items()[used_++];
    }
    if (used_++ > 0) fault("not enough arguments for format string");
    return values_;
  }

  int64_t number_or_star() {
    if (current() == '*') {
      ++at_;
      const Value& value = next_value();
      if (!value.is_integral()) fault("* wants int");
      return value.integer();
    }
    int64_t number = 0;
    while (std::isdigit(static_cast<unsigned char>(current())) != 0) {
      number = std::min<int64_t>(number * 10 + (text_[at_++] - '0'), int64_t{1} << 40);
    }
    return number;
  }

  // %(name)s: the value under that key of the dict.
  const Value* keyed_value() {
    if (current() != '(') return nullptr;
    size_t depth = 1;
    const size_t begin = ++at_;
    while (depth > 0) {
      if (at_ >= text_.size()) fault("incomplete format key");
      if (text_[at_] == '(') ++depth;
      if (text_[at_] == ')') --depth;
      ++at_;
    }
    const std::string key = text_.substr(begin, at_ - begin - 1);
    if (!values_.is_dict()) fault("format requires a mapping");
    const Value* value = values_.dict().find(std::string_view(key));
    if (value == nullptr) fault("no key {} in the mapping to format", in_quotes(key));
    mapping_used_ = true;
    return value;
  }

  std::string conversion() {
    ++at_;
    const Value* value = keyed_value();
    FormatSpec spec;
    bool left = false, zero = false;
    for (;; ++at_) {
      const char flag = current();
      if (flag == '-')
        left = true;
      else if (flag == '0')
        zero = true;
      else if (flag == '+')
        spec.sign = '+';
      else if (flag == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (flag == '#')
        spec.alternate = true;
      else
        break;
    }
    spec.width = number_or_star();
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (current() == '.') {
      ++at_;
      spec.precision = number_or_star();
    }
    while (current() == 'h' || current() == 'l' || current() == 'L') ++at_;
    const char type = text_[at_++];
    if (type == '%') return "%";
    if (value == nullptr) value = &next_value();
    spec.align = left ? '<' : '>';
    const bool numeric = std::string_view("diuoxXeEfFgG").find(type) != std::string_view::npos;
    if (zero && numeric && !left) {
      spec.fill = "0";
      spec.align = '=';
    }
    return convert(*value, type, spec);
  }

  std::string convert(const Value& value, char type, FormatSpec spec) {
    const auto escaped = [&](std::string text) { return escape_ ? escape_html(text) : text; };
    switch (type) {
      case 's':
        return format_text(
            runtime_, value.is_markup() ? value.string() : escaped(str(runtime_, value)), spec);
      case 'r':
      case 'a':
        return format_text(runtime_, escaped(repr(runtime_, value)), spec);
      case 'c':
        return character(value, spec);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return integer(value, type, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.is_undefined()) fault("{}", value.undefined_reason());
        if (!value.is_number()) fault("must be real number, not {}", type_name(value));
        spec.type = type;
        return format_float(runtime_, value.number(), spec);
      default:
        fault("unsupported format character '{}'", type);
    }
  }

  std::string character(const Value& value, const FormatSpec& spec) {
    if (value.is_string()) {
      if (code_points(value.string()) != 1) fault("%c requires int or char");
      return format_text(runtime_, value.string(), spec);
    }
    if (!value.is_integral()) fault("%c requires int or char");
    FormatSpec as_character = spec;
    as_character.type = 'c';
    as_character.precision.reset();
    return format_value(runtime_, value, as_character);
  }

  std::string integer(const Value& value, char type, FormatSpec spec) {
    if (value.is_undefined()) fault("{}", value.undefined_reason());
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (!value.is_integral() && !(decimal && value.is_float())) {
      fault("%{} format: {} is required, not {}", type, decimal ? "a real number" : "an integer",
            type_name(value));
    }
    spec.type = decimal ? 'd' : type;
    const int64_t number = value.is_float() ? truncate(value.number()) : value.integer();
    // A precision is the least number of digits.
    if (spec.precision) {
      FormatSpec digits;
      digits.type = spec.type;
      digits.sign = spec.sign;
      digits.alternate = spec.alternate;
      digits.fill = "0";
      digits.align = '=';
      const bool signed_text = number < 0 || spec.sign != '-';
      digits.width = *spec.precision + (signed_text ? 1 : 0) + (spec.alternate && !decimal ? 2 : 0);
      FormatSpec padding = spec;
      padding.precision.reset();
      if (padding.align == '=') padding.fill = " ", padding.align = '>';
      return format_text(runtime_, format_integer(runtime_, number, digits), padding);
    }
    return format_integer(runtime_, number, spec);
  }

  Runtime& runtime_;
  const std::string& text_;
  const bool escape_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  bool mapping_used_ = false;
};

}  // namespace

std::string format_percent(Runtime& runtime, const Value& format, const Value& values) {
  return PercentFormatter(runtime, format, values).run();
}

}  // namespace ashlar::text::jinja
