#include "ashlar/text/jinja/number_format.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace ashlar::text::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;

std::string repeat(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// Pads `sign` + `body` to the width; `align` is what counts when the spec names none.
std::string pad(Runtime& runtime, const FormatSpec& spec, char align, const std::string& sign,
                const std::string& body) {
  const size_t size = code_points(sign) + code_points(body);
  const auto width = static_cast<size_t>(std::max<int64_t>(spec.width, 0));
  if (size >= width) return sign + body;
  const size_t missing = width - size;
  runtime.pay_bytes(missing * spec.fill.size());
  switch (spec.align != 0 ? spec.align : align) {
    case '<':
      return sign + body + repeat(spec.fill, missing);
    case '=':
      return sign + repeat(spec.fill, missing) + body;
    case '^': {
      const size_t left = missing / 2;
      return repeat(spec.fill, left) + sign + body + repeat(spec.fill, missing - left);
    }
    default:
      return repeat(spec.fill, missing) + sign + body;
  }
}

std::string sign_text(bool negative, const FormatSpec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

// Puts the separator between groups of digits, from the right.
std::string group(const std::string& digits, char separator, size_t group_size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % group_size == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string upper_ascii(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string float_body(double magnitude, const FormatSpec& spec) {
  const auto precision = static_cast<int>(spec.precision.value_or(6));
  switch (spec.type) {
    case 'e':
      return fmt::format("{:.{}e}", magnitude, precision);
    case 'E':
      return fmt::format("{:.{}E}", magnitude, precision);
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", magnitude, precision);
    case '%':
      return fmt::format("{:.{}f}%", magnitude * 100, precision);
    case 'G':
      return upper_ascii(fmt::format("{:.{}g}", magnitude, std::max(precision, 1)));
    case 0:
      if (!spec.precision) return float_text(magnitude);
      {
        // Like g, but with at least one digit behind the point.
        std::string text = fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
        if (text.find_first_of(".e") == text.npos) {
          const double limit = std::pow(10.0, std::max(precision, 1) - 1);
          if (magnitude >= limit)
            return fmt::format("{:.{}e}", magnitude, std::max(precision, 1) - 1);
          text += ".0";
        }
        return text;
      }
    default:
      return fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
  }
}

}  // namespace

FormatSpec parse_format_spec(std::string_view text) {
  FormatSpec spec;
  const std::string_view whole = text;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!text.empty()) {
    size_t fill_end = 0;
    next_code_point(text, fill_end);
    if (fill_end < text.size() && is_align(text[fill_end])) {
      spec.fill = text.substr(0, fill_end);
      spec.align = text[fill_end];
      text.remove_prefix(fill_end + 1);
    } else if (is_align(text[0])) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  const auto take = [&](std::string_view choices) -> char {
    if (text.empty() || choices.find(text[0]) == choices.npos) return 0;
    const char found = text[0];
    text.remove_prefix(1);
    return found;
  };
  const auto take_number = [&](int64_t& number) {
    bool any = false;
    while (!text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) != 0) {
      number = std::min<int64_t>(number * 10 + (text[0] - '0'), int64_t{1} << 40);
      text.remove_prefix(1);
      any = true;
    }
    return any;
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  take_number(spec.width);
  spec.separator = take(",_");
  if (take(".") != 0) {
    int64_t precision = 0;
    if (!take_number(precision)) fault("Format specifier missing precision: '{}'", whole);
    spec.precision = precision;
  }
  spec.type = take("bcdeEfFgGnosxX%");
  if (!text.empty()) fault("Invalid format specifier '{}'", whole);
  return spec;
}

std::string format_integer(Runtime& runtime, int64_t value, const FormatSpec& spec) {
  const auto magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string digits, prefix;
  switch (spec.type) {
    case 'x':
      digits = fmt::format("{:x}", magnitude), prefix = "0x";
      break;
    case 'X':
      digits = fmt::format("{:X}", magnitude), prefix = "0X";
      break;
    case 'o':
      digits = fmt::format("{:o}", magnitude), prefix = "0o";
      break;
    case 'b':
      digits = fmt::format("{:b}", magnitude), prefix = "0b";
      break;
    default:
      digits = fmt::format("{}", magnitude);
  }
  const size_t group_size = prefix.empty() ? 3 : 4;
  const std::string sign = sign_text(value < 0, spec) + (spec.alternate ? prefix : "");
  if (spec.separator != 0) digits = group(digits, spec.separator, group_size);
  return pad(runtime, spec, '>', sign, digits);
}

std::string format_float(Runtime& runtime, double value, const FormatSpec& spec) {
  if (spec.precision.value_or(0) > kMaxPrecision) {
    fault("format precision {} is above {}", *spec.precision, kMaxPrecision);
  }
  const bool negative = std::signbit(value) && !std::isnan(value);
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  const double magnitude = std::abs(value);
  std::string body;
  if (std::isfinite(value)) {
    body = float_body(magnitude, spec);
  } else {
    body = std::isnan(value) ? "nan" : "inf";
    if (spec.type == '%') body += '%';
    if (upper) body = upper_ascii(body);
  }
  if (spec.separator != 0) {
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    body = group(body.substr(0, whole), spec.separator, 3) + body.substr(whole);
  }
  return pad(runtime, spec, '>', sign_text(negative, spec), body);
}

std::string format_text(Runtime& runtime, const std::string& text, const FormatSpec& spec) {
  if (spec.align == '=') fault("'=' alignment not allowed in string format specifier");
  std::string body = text;
  if (spec.precision) {
    body.resize(byte_offset(body, static_cast<size_t>(*spec.precision)));
  }
  return pad(runtime, spec, '<', "", body);
}

std::string format_value(Runtime& runtime, const Value& value, const FormatSpec& spec) {
  const bool plain = spec.type == 0 && spec.width == 0 && !spec.precision && spec.separator == 0 &&
                     spec.sign == '-' && !spec.alternate && spec.align == 0;
  if (value.is_string() || plain) {
    if (spec.type != 0 && spec.type != 's') {
      fault("Unknown format code '{}' for object of type 'str'", spec.type);
    }
    return format_text(runtime, str(runtime, value), spec);
  }
  constexpr std::string_view kFloatTypes = "eEfFgG%";
  if (value.is_integral()) {
    if (kFloatTypes.find(spec.type) != kFloatTypes.npos && spec.type != 0) {
      return format_float(runtime, value.number(), spec);
    }
    if (spec.precision) fault("Precision not allowed in integer format specifier");
    if (spec.type == 's') fault("Unknown format code 's' for object of type 'int'");
    if (spec.type == 'c') {
      const int64_t code = value.integer();
      if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        fault("%c arg not in range(0x110000)");
      }
      std::string character;
      append_utf8(character, static_cast<char32_t>(code));
      return pad(runtime, spec, '<', "", character);
    }
    return format_integer(runtime, value.integer(), spec);
  }
  if (value.is_float()) {
    if (spec.type != 0 && spec.type != 'n' && kFloatTypes.find(spec.type) == kFloatTypes.npos) {
      fault("Unknown format code '{}' for object of type 'float'", spec.type);
    }
    return format_float(runtime, value.number(), spec);
  }
  fault("unsupported format string passed to {}.__format__", type_name(value));
}

}  // namespace ashlar::text::jinja
