// Python's arithmetic on bool, int and float. Integers have 64 bits here: a result beyond them is a
// Fault, never a wrong number. Division floors, the remainder has the divisor's sign.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace ashlar::text::jinja {

// Both operands must be numbers.
Value add_numbers(const Value& left, const Value& right);
Value subtract_numbers(const Value& left, const Value& right);
Value multiply_numbers(const Value& left, const Value& right);
Value divide_numbers(const Value& left, const Value& right);
Value floor_divide_numbers(const Value& left, const Value& right);
Value remainder_of_numbers(const Value& left, const Value& right);
Value power_of_numbers(const Value& left, const Value& right);

// round(number, digits): halves go to even; an int stays an int.
Value round_number(const Value& number, int64_t digits);

// int(float): toward zero; Fault for nan, inf and what 64 bits can't hold.
int64_t truncate(double number);

// int(text, base) and float(text); nullopt where Python raises ValueError.
std::optional<int64_t> parse_int(std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace ashlar::text::jinja
