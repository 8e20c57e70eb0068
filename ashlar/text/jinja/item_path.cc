#include "ashlar/text/jinja/item_path.h"

#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/arithmetic.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>

namespace ashlar::text::jinja {

ItemPath::ItemPath(const Value& attribute) {
  if (attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  for (const std::string_view part : split(attribute.string(), ".", -1)) {
    const bool digits = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    parts_.push_back(digits ? Value(*parse_int(part, 10)) : Value(part));
  }
}

Value ItemPath::follow(Runtime& runtime, const Value& item, const Value* otherwise) const {
  Value value = item;
  for (const Value& part : parts_) {
    value = get_item(runtime, value, part);
    if (otherwise != nullptr && value.is_undefined()) value = *otherwise;
  }
  return value;
}

Value ignoring_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  runtime.pay_bytes(value.string().size());
  return Value::string_like(value, to_lower(value.string()));
}

}  // namespace ashlar::text::jinja
