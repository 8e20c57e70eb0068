#include "ashlar/text/jinja/arithmetic.h"

#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/unicode.h"

#include <charconv>
#include <cmath>
#include <string>

namespace ashlar::text::jinja {
namespace {

constexpr std::string_view kTooLarge = "integer beyond 64 bits";

bool integral(const Value& left, const Value& right) {
  return left.is_integral() && right.is_integral();
}

void check_divisor(const Value& right) {
  if (right.number() == 0) fault("division by zero");
}

double float_remainder(double left, double right) {
  double remainder = std::fmod(left, right);
  if (remainder == 0) return std::copysign(0.0, right);
  if ((remainder < 0) != (right < 0)) remainder += right;
  return remainder;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
      fault("{}", kTooLarge);
    }
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fault("{}", kTooLarge);
  }
  return result;
}

std::string_view strip_spaces(std::string_view text) {
  while (!text.empty()) {
    size_t at = 0;
    if (!is_space(next_code_point(text, at))) break;
    text.remove_prefix(at);
  }
  while (!text.empty()) {
    size_t at = text.size();
    if (!is_space(previous_code_point(text, at))) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

// Removes the underscores Python allows between digits; false where one stands elsewhere.
bool remove_underscores(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const auto is_alnum_at = [&](size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
    };
    if (i == 0 || !is_alnum_at(i - 1) || !is_alnum_at(i + 1)) return false;
  }
  return true;
}

}  // namespace

Value add_numbers(const Value& left, const Value& right) {
  if (!integral(left, right)) return Value(left.number() + right.number());
  int64_t result;
  if (__builtin_add_overflow(left.integer(), right.integer(), &result)) fault("{}", kTooLarge);
  return Value(result);
}

Value subtract_numbers(const Value& left, const Value& right) {
  if (!integral(left, right)) return Value(left.number() - right.number());
  int64_t result;
  if (__builtin_sub_overflow(left.integer(), right.integer(), &result)) fault("{}", kTooLarge);
  return Value(result);
}

Value multiply_numbers(const Value& left, const Value& right) {
  if (!integral(left, right)) return Value(left.number() * right.number());
  int64_t result;
  if (__builtin_mul_overflow(left.integer(), right.integer(), &result)) fault("{}", kTooLarge);
  return Value(result);
}

Value divide_numbers(const Value& left, const Value& right) {
  check_divisor(right);
  return Value(left.number() / right.number());
}

Value floor_divide_numbers(const Value& left, const Value& right) {
  check_divisor(right);
  if (integral(left, right)) {
    const int64_t a = left.integer(), b = right.integer();
    if (b == -1) return subtract_numbers(Value(0), Value(a));
    const int64_t quotient = a / b;
    return Value(a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient);
  }
  const double a = left.number(), b = right.number();
  // As CPython: floor of the quotient without the remainder, rounded to the nearest whole number.
  const double quotient = (a - float_remainder(a, b)) / b;
  if (quotient == 0) return Value(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value(quotient - floor > 0.5 ? floor + 1 : floor);
}

Value remainder_of_numbers(const Value& left, const Value& right) {
  check_divisor(right);
  if (!integral(left, right)) return Value(float_remainder(left.number(), right.number()));
  const int64_t a = left.integer(), b = right.integer();
  if (b == -1) return Value(0);
  const int64_t remainder = a % b;
  return Value(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

Value power_of_numbers(const Value& left, const Value& right) {
  if (integral(left, right) && right.integer() >= 0) {
    return Value(integer_power(left.integer(), right.integer()));
  }
  const double base = left.number(), exponent = right.number();
  if (base == 0 && exponent < 0) fault("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(exponent) && exponent != std::floor(exponent)) {
    fault("a negative number to a fractional power is not real");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    fault("result of ** is too large");
  }
  return Value(result);
}

Value round_number(const Value& number, int64_t digits) {
  if (number.is_integral()) {
    int64_t value = number.integer();
    if (digits >= 0) return Value(value);
    if (digits < -18) return Value(0);
    const int64_t unit = integer_power(10, -digits);
    int64_t remainder = value % unit;
    if (remainder < 0) remainder += unit;
    const int64_t below = (value - remainder) / unit;
    const bool up = remainder * 2 > unit || (remainder * 2 == unit && below % 2 != 0);
    return multiply_numbers(Value(up ? below + 1 : below), Value(unit));
  }
  const double value = number.number();
  if (!std::isfinite(value) || digits > 320) return number;
  if (digits < -310) return Value(std::copysign(0.0, value));
  // The decimal text of a double is exact, so rounding it is correct rounding.
  if (digits >= 0) return Value(std::stod(fmt::format("{:.{}f}", value, digits)));
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return Value(std::nearbyint(value / unit) * unit);
}

int64_t truncate(double number) {
  if (std::isnan(number)) fault("cannot convert float NaN to integer");
  if (std::isinf(number)) fault("cannot convert float infinity to integer");
  if (std::abs(number) >= 9223372036854775808.0) fault("{}", kTooLarge);
  return static_cast<int64_t>(number);
}

std::optional<int64_t> parse_int(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) fault("int(): base {} is not 0 or in 2..36", base);
  text = strip_spaces(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 1 && text[0] == '0') {
    const char letter = static_cast<char>(std::tolower(static_cast<unsigned char>(text[1])));
    const int64_t prefixed = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefixed != 0 && (base == prefixed || base == 0)) {
      base = prefixed;
      text.remove_prefix(2);
      if (text.starts_with('_')) text.remove_prefix(1);
    }
  }
  std::string digits;
  if (!remove_underscores(text, digits) || digits.empty() || digits[0] == '-') {
    return std::nullopt;
  }
  if (base == 0) {
    if (digits[0] == '0' && digits.find_first_not_of('0') != digits.npos) return std::nullopt;
    base = 10;
  }
  if (negative) digits.insert(digits.begin(), '-');
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, static_cast<int>(base));
  if (stop != end || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) fault("{}", kTooLarge);
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  std::string digits;
  text = strip_spaces(text);
  if (!remove_underscores(text, digits) || digits.empty()) return std::nullopt;
  std::string_view rest = digits;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.starts_with('-')) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (stop != rest.data() + rest.size() || rest.find('(') != rest.npos) return std::nullopt;
  if (error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range)
    value = std::strtod(std::string(rest).c_str(), nullptr);
  return negative ? -value : value;
}

}  // namespace ashlar::text::jinja
