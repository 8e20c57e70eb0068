#include "ashlar/base/config_value.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

namespace ashlar {
namespace {

// The text of a string value or of what a person typed; null for other values.
const std::string* text_of(const ConfigValue& from) {
  if (const auto* typed = std::get_if<ConfigText>(&from.value)) return &typed->text;
  return std::get_if<std::string>(&from.value);
}

bool typed(const ConfigValue& from) { return std::holds_alternative<ConfigText>(from.value); }

// "a,b,c" as typed; a list with commas inside its elements is typed as a TOML array.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size() && !text.empty();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

std::string ConfigValue::shown() const {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, ConfigText>) {
          double number = 0;
          const char* const end = v.text.data() + v.text.size();
          const bool plain = std::from_chars(v.text.data(), end, number).ptr == end;
          return plain && !v.text.empty() ? v.text : print_config(v.text);
        } else if constexpr (std::is_same_v<T, ConfigOther>) {
          return v.what;
        } else {
          return print_config(v);
        }
      },
      value);
}

void ConfigValue::refuse(std::string_view wanted) const {
  fail_usage("config {}: {} is not {}{}", key, shown(), wanted, where);
}

void read_config(const ConfigValue& from, bool& to) {
  if (const bool* value = std::get_if<bool>(&from.value)) {
    to = *value;
    return;
  }
  const std::string text = typed(from) ? *text_of(from) : "";
  const bool yes = text == "true" || text == "yes" || text == "on" || text == "1";
  const bool no = text == "false" || text == "no" || text == "off" || text == "0";
  if (!yes && !no) from.refuse("true or false");
  to = yes;
}

void read_config(const ConfigValue& from, int64_t& to) {
  std::optional<int64_t> number;
  if (const int64_t* value = std::get_if<int64_t>(&from.value)) number = *value;
  if (const double* value = std::get_if<double>(&from.value)) {
    // 1e6 is a fine way to write a million.
    if (*value == std::floor(*value) && std::abs(*value) < 0x1p53) {
      number = static_cast<int64_t>(*value);
    }
  }
  if (const std::string* text = text_of(from)) number = parse_count(*text);
  if (!number) from.refuse("a whole number");
  to = *number;
}

void read_config(const ConfigValue& from, int& to) {
  int64_t wide = 0;
  read_config(from, wide);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
    from.refuse("a whole number of 32 bits");
  }
  to = static_cast<int>(wide);
}

void read_config(const ConfigValue& from, double& to) {
  double number = std::numeric_limits<double>::quiet_NaN();
  if (const int64_t* whole = std::get_if<int64_t>(&from.value)) {
    number = static_cast<double>(*whole);
  } else if (const double* value = std::get_if<double>(&from.value)) {
    number = *value;
  } else if (typed(from)) {
    const std::string& text = *text_of(from);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool all_read = error == std::errc() && end == text.data() + text.size();
    if (!all_read) from.refuse("a number");
  } else {
    from.refuse("a number");
  }
  if (!std::isfinite(number)) from.refuse("a finite number");
  to = number;
}

void read_config(const ConfigValue& from, std::string& to) {
  const std::string* text = text_of(from);
  if (text == nullptr) from.refuse("text; put it in quotes");
  to = *text;
}

void read_config(const ConfigValue& from, std::vector<std::string>& to) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&from.value)) {
    to = *list;
    return;
  }
  const std::string* text = text_of(from);
  if (text == nullptr) from.refuse("a list of texts");
  if (typed(from) && text->starts_with('[') && text->ends_with(']')) {
    read_typed_array(from, *text, to);
  } else {
    to = typed(from) ? split(*text) : std::vector<std::string>{*text};
  }
}

std::string print_config(bool value) { return value ? "true" : "false"; }

std::string print_config(int64_t value) { return fmt::format("{}", value); }

std::string print_config(double value) {
  std::string text = fmt::format("{}", value);  // the shortest that reads back to the same bits
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  return text;
}

std::string print_config(const std::string& value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string print_config(const std::vector<std::string>& value) {
  std::vector<std::string> parts;
  for (const std::string& part : value) parts.push_back(print_config(part));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

}  // namespace ashlar
