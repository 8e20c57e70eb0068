// A configuration value on its way to a field: what a TOML file, the command line or the
// environment said, and where. read_config() turns it into the field's type or throws `config
// train.lr: "abc" is not a number (config.toml:12:6)`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ashlar {

struct ConfigText {  // typed by a person: its type is the field's
  std::string text;
};
struct ConfigOther {  // a table, a date: fits no field
  std::string what;
};

struct ConfigValue {
  std::string key;
  std::variant<bool, int64_t, double, std::string, std::vector<std::string>, ConfigText,
               ConfigOther>
      value;
  std::string where;  // " (config.toml:12:6)", or nothing on the command line

  std::string shown() const;  // as messages show it: 12, "abc"
  [[noreturn]] void refuse(std::string_view wanted) const;
};

void read_config(const ConfigValue& from, bool& to);
void read_config(const ConfigValue& from, int& to);
void read_config(const ConfigValue& from, int64_t& to);
void read_config(const ConfigValue& from, double& to);
void read_config(const ConfigValue& from, std::string& to);
void read_config(const ConfigValue& from, std::vector<std::string>& to);

// ["a", "b"] as a person typed it (config_toml.cc).
void read_typed_array(const ConfigValue& from, const std::string& text,
                      std::vector<std::string>& to);

// As TOML.
std::string print_config(bool value);
std::string print_config(int64_t value);
std::string print_config(double value);
std::string print_config(const std::string& value);
std::string print_config(const std::vector<std::string>& value);

}  // namespace ashlar
