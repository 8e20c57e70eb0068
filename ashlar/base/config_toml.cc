// The part of ConfigTable that reads TOML.
#include "ashlar/base/config.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <utility>

namespace ashlar {
namespace {

constexpr int64_t kMaxFile = int64_t{1} << 20;

class Loader {
 public:
  Loader(const std::deque<ConfigKey>& keys, const std::string& source)
      : keys_(keys), source_(source) {}

  // Every value below the table, as key and value.
  void flatten(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      const toml::table* inner = node.as_table();
      const bool is_section = std::ranges::any_of(
          keys_, [&](const ConfigKey& k) { return k.name().starts_with(key + "."); });
      if (inner != nullptr && (is_section || !inner->empty()) && !is_key(key)) {
        flatten(*inner, key + ".");
      } else if (is_section && !is_key(key)) {
        fail_usage("config {}: a value where a table of keys is wanted{}", key, where(node));
      } else {
        values.push_back({key, value_of(key, node), where(node)});
      }
    }
  }

  std::vector<ConfigValue> values;

 private:
  bool is_key(const std::string& name) const {
    return std::ranges::any_of(keys_, [&](const ConfigKey& k) { return k.name() == name; });
  }

  std::string where(const toml::node& node) const {
    return fmt::format(" ({}:{}:{})", source_, node.source().begin.line,
                       node.source().begin.column);
  }

  decltype(ConfigValue::value) value_of(const std::string& key, const toml::node& node) const {
    if (const auto* value = node.as_boolean()) return value->get();
    if (const auto* value = node.as_integer()) return value->get();
    if (const auto* value = node.as_floating_point()) return value->get();
    if (const auto* value = node.as_string()) return value->get();
    if (const auto* array = node.as_array()) {
      std::vector<std::string> list;
      for (const toml::node& element : *array) {
        const auto* text = element.as_string();
        if (text == nullptr) {
          const ConfigValue other{key, ConfigOther{"a list of other things"}, where(element)};
          other.refuse("a list of texts");
        }
        list.push_back(text->get());
      }
      return list;
    }
    return ConfigOther{node.is_table() ? "a table" : "a date or time"};
  }

  const std::deque<ConfigKey>& keys_;
  const std::string& source_;
};

}  // namespace

void read_typed_array(const ConfigValue& from, const std::string& text,
                      std::vector<std::string>& to) {
  std::vector<std::string> list;
  try {
    const toml::table table = toml::parse("list = " + text);
    for (const toml::node& element : *table["list"].as_array()) {
      const auto* value = element.as_string();
      if (value == nullptr) from.refuse("a list of texts, as in [\"a\", \"b\"] or a,b");
      list.push_back(value->get());
    }
  } catch (const toml::parse_error&) {
    from.refuse("a list of texts, as in [\"a\", \"b\"] or a,b");
  }
  to = std::move(list);
}

void ConfigTable::load_text(std::string_view text, const std::string& source) {
  Loader loader(keys_, source);
  try {
    loader.flatten(toml::parse(text, source), "");
  } catch (const toml::parse_error& error) {
    fail_usage("config {}:{}:{}: {}", source, error.source().begin.line,
               error.source().begin.column, error.description());
  }
  for (const ConfigValue& value : loader.values) assign(value);
}

void ConfigTable::load_file(const std::string& path) { load_text(read_file(path, kMaxFile), path); }

}  // namespace ashlar
