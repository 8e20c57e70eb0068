#include "ashlar/base/config.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <type_traits>

namespace ashlar {
namespace {

template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;

template <typename T>
constexpr bool kIsNumber = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

template <typename T>
void read(const ConfigValue& from, T& field) {
  if constexpr (kIsOptional<T>) {
    const auto* typed = std::get_if<ConfigText>(&from.value);
    if (typed != nullptr && typed->text.empty()) {  // `key=` takes the value away
      field.reset();
    } else {
      typename T::value_type value{};
      read_config(from, value);
      field = std::move(value);
    }
  } else {
    read_config(from, field);
  }
}

template <typename T>
std::string print(const T& field) {
  if constexpr (kIsOptional<T>) {
    return field ? print(*field) : "";
  } else if constexpr (std::is_same_v<T, int>) {
    return print_config(int64_t{field});
  } else {
    return print_config(field);
  }
}

template <typename T>
std::optional<double> number(const T& field) {
  if constexpr (kIsOptional<T>) {
    return field ? number(*field) : std::nullopt;
  } else if constexpr (kIsNumber<T>) {
    return static_cast<double>(field);
  } else {
    return std::nullopt;
  }
}

std::string_view section_of(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? "" : name.substr(0, dot);
}

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

ConfigKey& ConfigKey::positive() {
  low_ = 0;
  low_allowed_ = false;
  return *this;
}

ConfigKey& ConfigKey::at_least(double low) {
  low_ = low;
  return *this;
}

ConfigKey& ConfigKey::between(double low, double high) {
  low_ = low;
  high_ = high;
  return *this;
}

ConfigKey& ConfigKey::required() {
  required_ = true;
  return *this;
}

ConfigKey& ConfigKey::secret() {
  secret_ = true;
  return *this;
}

ConfigKey& ConfigKey::counts_if(std::function<bool()> counts) {
  counts_ = std::move(counts);
  return *this;
}

ConfigKey& ConfigKey::also(std::string_view alias) {
  aliases_.emplace_back(alias);
  return *this;
}

bool ConfigKey::is_called(std::string_view name) const {
  return name_ == name || std::ranges::find(aliases_, name) != aliases_.end();
}

void ConfigKey::set(const ConfigValue& value) {
  read_(value);
  was_set_ = true;
  check(value.shown(), value.where);
}

void ConfigKey::check(const std::string& shown, const std::string& where) const {
  const std::optional<double> value = number_();
  if (!value) return;
  const bool low_kept = low_allowed_ ? *value >= low_ : *value > low_;
  if (low_kept && *value <= high_) return;
  const bool bounded = high_ < std::numeric_limits<double>::infinity();
  const std::string wanted = !low_allowed_ ? "positive"
                             : bounded     ? fmt::format("between {} and {}", low_, high_)
                                           : fmt::format("at least {}", low_);
  fail_usage("config {}: {} is not {}{}", name_, shown, wanted, where);
}

ConfigKey& ConfigBinder::add(std::string_view name, std::string help) {
  ConfigKey& key = keys_.emplace_back();
  key.name_ = prefix_ + std::string(name);
  key.help_ = std::move(help);
  ASHLAR_DCHECK(std::ranges::count(keys_, key.name_, &ConfigKey::name_) == 1);
  return key;
}

template <typename T>
ConfigKey& ConfigBinder::key(std::string_view name, T& field, std::string help) {
  ConfigKey& key = add(name, std::move(help));
  key.read_ = [&field](const ConfigValue& from) { read(from, field); };
  key.print_ = [&field] { return print(field); };
  key.number_ = [&field] { return number(field); };
  key.default_ = key.print_();
  return key;
}

ConfigKey& ConfigBinder::key_or(std::string_view name, int64_t& field, std::string word,
                                int64_t value, std::string help) {
  ConfigKey& key = add(name, std::move(help));
  key.read_ = [&field, word, value](const ConfigValue& from) {
    const auto* typed = std::get_if<ConfigText>(&from.value);
    const auto* text = std::get_if<std::string>(&from.value);
    if ((typed != nullptr && typed->text == word) || (text != nullptr && *text == word)) {
      field = value;
      return;
    }
    try {
      read_config(from, field);
    } catch (const UsageError&) {
      from.refuse(fmt::format("a whole number or \"{}\"", word));
    }
  };
  key.print_ = [&field, word, value] {
    return field == value ? print_config(word) : print_config(field);
  };
  key.number_ = [&field, value] { return field == value ? std::nullopt : number(field); };
  key.default_ = key.print_();
  return key;
}

template ConfigKey& ConfigBinder::key(std::string_view, bool&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, int&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, int64_t&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, double&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::string&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::vector<std::string>&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::optional<bool>&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::optional<int>&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::optional<int64_t>&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::optional<double>&, std::string);
template ConfigKey& ConfigBinder::key(std::string_view, std::optional<std::string>&, std::string);

ConfigKey& ConfigBinder::choice_of(std::string_view name, std::vector<std::string> names,
                                   std::function<size_t()> get, std::function<void(size_t)> set,
                                   std::string help) {
  ConfigKey& key = add(name, fmt::format("{} ({})", help, fmt::join(names, " | ")));
  key.read_ = [names, set](const ConfigValue& from) {
    std::string text;
    read_config(from, text);
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) from.refuse(fmt::format("one of {}", fmt::join(names, ", ")));
    set(static_cast<size_t>(found - names.begin()));
  };
  key.print_ = [names, get] { return print_config(names[get()]); };
  key.number_ = [] { return std::optional<double>(); };
  key.default_ = key.print_();
  return key;
}

ConfigKey& ConfigTable::find(std::string_view name, const std::string& where) {
  const auto found =
      std::ranges::find_if(keys_, [name](const ConfigKey& key) { return key.is_called(name); });
  if (found != keys_.end()) return *found;
  std::vector<std::string> names;
  for (const ConfigKey& key : keys_) {
    // Whoever leaves out the section still means that key.
    if (last_part(key.name()) == name) {
      fail_usage("config {}: unknown key; did you mean {}?{}", name, key.name(), where);
    }
    names.push_back(key.name());
  }
  const auto near = nearest(name, names);
  fail_usage("config {}: unknown key{}{}", name,
             near ? fmt::format("; did you mean {}?", *near) : "", where);
}

const ConfigKey& ConfigTable::key(std::string_view name) const {
  return const_cast<ConfigTable*>(this)->find(name, "");
}

void ConfigTable::assign(const ConfigValue& value) { find(value.key, value.where).set(value); }

void ConfigTable::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    fail_usage("config: '{}' is not key=value", assignment);
  }
  set(assignment.substr(0, equals), assignment.substr(equals + 1));
}

void ConfigTable::set(std::string_view key, std::string_view text) {
  assign({std::string(key), ConfigText{std::string(text)}, ""});
}

namespace {

// As environment variables are written: "train.lr" is TRAIN_LR.
std::string upper_case(std::string_view name) {
  std::string upper;
  for (const char c : name) {
    const auto letter = static_cast<unsigned char>(c);
    upper += std::isalnum(letter) ? static_cast<char>(std::toupper(letter)) : '_';
  }
  return upper;
}

}  // namespace

void ConfigKey::read_env(const std::string& variable) {
  if (const auto text = env(variable.c_str())) {
    set({name_, ConfigText{*text}, fmt::format(" (environment {})", variable)});
  }
}

// A misspelt name is worth a line and no more: the environment holds what others put there.
void ConfigTable::load_env(std::string_view prefix) {
  std::vector<std::string> known;  // without the prefix
  const auto variable = [&](std::string_view name) {
    return std::string(prefix) + known.emplace_back(upper_case(name));
  };
  for (ConfigKey& key : keys_) {
    for (const std::string& alias : key.aliases_) key.read_env(variable(alias));
    key.read_env(variable(key.name()));  // last: its own name wins
  }
  for (const std::string& set : env_names(prefix)) {
    const std::string name = set.substr(prefix.size());
    if (std::ranges::find(known, name) != known.end()) continue;
    if (const auto near = nearest(name, known)) {
      log::warn("config event=unknown_environment name={} reason=\"did you mean {}{}?\"", set,
                prefix, *near);
    }
  }
}

void ConfigTable::check() const {
  for (const ConfigKey& key : keys_) {
    const std::string text = key.text();
    key.check(text, "");
    if (key.required_ && (text.empty() || text == "\"\"" || text == "[]")) {
      fail_usage("config {}: not set; it is needed: {} (give {}=VALUE)", key.name(), key.help(),
                 key.name());
    }
  }
}

std::string ConfigTable::to_toml() const {
  // Keys of one section stand together; those of none must come first.
  std::vector<std::string_view> sections = {""};
  for (const ConfigKey& key : keys_) {
    const std::string_view section = section_of(key.name());
    if (std::ranges::find(sections, section) == sections.end()) sections.push_back(section);
  }
  std::string toml;
  for (const std::string_view section : sections) {
    if (!section.empty()) toml += fmt::format("{}[{}]\n", toml.empty() ? "" : "\n", section);
    for (const ConfigKey& key : keys_) {
      if (section_of(key.name()) != section || (key.counts_ && !key.counts_())) continue;
      const std::string text = key.text();
      if (key.secret_ && text != key.default_text()) {
        toml += fmt::format("# {} is set and not shown\n", last_part(key.name()));
        continue;
      }
      toml += text.empty() ? fmt::format("# {} is not set\n", last_part(key.name()))
                           : fmt::format("{} = {}\n", last_part(key.name()), text);
    }
  }
  return toml;
}

std::string ConfigTable::reference() const {
  std::vector<std::string> left;
  size_t width = 0;
  for (const ConfigKey& key : keys_) {
    left.push_back(key.name() + (key.default_text().empty() ? "" : " = " + key.default_text()));
    width = std::max(width, left.back().size());
  }
  std::string text;
  for (size_t i = 0; i < left.size(); ++i) {
    text += fmt::format("{:<{}}  {}\n", left[i], width, keys_[i].help());
  }
  return text;
}

}  // namespace ashlar
