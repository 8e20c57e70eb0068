// Python's operators on values, as templates use them. Faults carry what Python's errors say.
#pragma once

#include "ashlar/text/jinja/value.h"

namespace ashlar::text::jinja {

class Runtime;

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

Value apply(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
bool compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right);
Value negate(const Value& value);
Value identity(const Value& value);  // unary plus: numbers only

// values_equal() and values_less(), paid for.
bool equal(Runtime& runtime, const Value& left, const Value& right);
bool less(Runtime& runtime, const Value& left, const Value& right);
// item in container
bool contains(Runtime& runtime, const Value& container, const Value& item);

// & < > ' " as HTML entities.
std::string escape_html(std::string_view text);

}  // namespace ashlar::text::jinja
