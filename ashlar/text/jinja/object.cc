#include "ashlar/text/jinja/object.h"

#include "ashlar/text/jinja/fault.h"

namespace ashlar::text::jinja {

std::string Object::repr(Runtime&) const { return fmt::format("<{} object>", type_name()); }

std::vector<Value> Object::take_items(Runtime&) {
  fault("'{}' object is not iterable", type_name());
}

std::optional<Value> Object::attribute(std::string_view) const { return std::nullopt; }

std::optional<Value> Object::element(int64_t) const { return std::nullopt; }

Value Object::call(Runtime&, const Arguments&) {
  fault("'{}' object is not callable", type_name());
}

}  // namespace ashlar::text::jinja
