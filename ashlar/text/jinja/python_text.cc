#include "ashlar/text/jinja/python_text.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/object.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <array>
#include <charconv>
#include <cmath>

namespace ashlar::text::jinja {
namespace {

class ReprWriter {
 public:
  explicit ReprWriter(Runtime& runtime) : runtime_(runtime) {}

  void write(const Value& value) {
    const Nesting nesting(runtime_);
    runtime_.step();
    switch (value.kind()) {
      case Kind::kNone:
        return append("None");
      case Kind::kUndefined:
        return append("Undefined");
      case Kind::kBool:
        return append(value.boolean() ? "True" : "False");
      case Kind::kInt:
        return append(fmt::to_string(value.integer()));
      case Kind::kFloat:
        return append(float_text(value.number()));
      case Kind::kString:
        runtime_.pay_bytes(value.string().size());
        return append(value.is_markup() ? fmt::format("Markup({})", in_quotes(value.string()))
                                        : in_quotes(value.string()));
      case Kind::kList:
        append("[");
        write_items(value.items());
        return append("]");
      case Kind::kTuple:
        append("(");
        write_items(value.items());
        return append(value.items().size() == 1 ? ",)" : ")");
      case Kind::kDict:
        return write_dict(value.dict());
      case Kind::kObject:
        return append(value.object().repr(runtime_));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void append(std::string_view text) {
    runtime_.pay_bytes(text.size());
    out_ += text;
  }

  void write_items(const std::vector<Value>& items) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) append(", ");
      write(items[i]);
    }
  }

  void write_dict(const Dict& dict) {
    append("{");
    for (size_t i = 0; i < dict.size(); ++i) {
      if (i > 0) append(", ");
      write(dict.entries()[i].first);
      append(": ");
      write(dict.entries()[i].second);
    }
    append("}");
  }

  Runtime& runtime_;
  std::string out_;
};

}  // namespace

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                 std::chars_format::scientific)
                       .ptr;
  // "-d.ddde+XX": the digits and the exponent, then Python's choice between the two notations.
  std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  std::string out;
  if (text.front() == '-') {
    out = "-";
    text.remove_prefix(1);
  }
  const size_t mark = text.find('e');
  int exponent = 0;
  const char* digits_of_exponent = text.data() + mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(digits_of_exponent, text.data() + text.size(), exponent);
  std::string digits(1, text.front());
  if (mark > 2) digits += text.substr(2, mark - 2);
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (count <= exponent + 1) {
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  const auto point = static_cast<size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

std::string in_quotes(std::string_view text) {
  const bool double_quotes = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    if (code == static_cast<char32_t>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(code)) {
      append_utf8(out, code);
    } else if (code < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(code));
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(code));
    }
  }
  out += quote;
  return out;
}

std::string str(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_string()) {
    runtime.pay_bytes(value.string().size());
    return value.string();
  }
  return repr(runtime, value);
}

std::string repr(Runtime& runtime, const Value& value) {
  ReprWriter writer(runtime);
  writer.write(value);
  return writer.take();
}

}  // namespace ashlar::text::jinja
