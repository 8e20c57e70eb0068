// Chooses how to read a tokenizer component by its "type": one table per kind of component, so that
// a new type is one new file and one new row. A type that no row has is an Error that lists the
// rows.
#pragma once

#include "ashlar/text/json_view.h"

#include <fmt/format.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ashlar::text {

template <typename Component>
struct FactoryRow {
  std::string_view type;
  std::unique_ptr<Component> (*make)(JsonView json);
};

template <typename Component>
std::unique_ptr<Component> make_component(std::string_view kind, JsonView json,
                                          std::span<const FactoryRow<Component>> rows) {
  const std::string_view type = json.at("type").string();
  std::string known;
  for (const FactoryRow<Component>& row : rows) {
    if (row.type == type) return row.make(json);
    known += (known.empty() ? "" : ", ") + std::string(row.type);
  }
  json.at("type").fail(fmt::format("unknown {} type \"{}\"; known are {}", kind, type, known));
}

}  // namespace ashlar::text
