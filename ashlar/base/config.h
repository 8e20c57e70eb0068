// Configuration is plain structs with defaults. A struct lists its keys once:
//   void bind(ConfigBinder& b) { b.key("lr", lr, "peak learning rate").positive(); }
// and a ConfigTable then fills it from TOML, environment and `key=value`, each over the one before,
// and prints it. What does not fit (unknown key, type, range) is a UsageError with key and place.
#pragma once

#include "ashlar/base/config_value.h"

#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar {

class ConfigKey {
 public:
  // What the value must be besides its type.
  ConfigKey& positive();
  ConfigKey& at_least(double low);
  ConfigKey& between(double low, double high);         // both are allowed
  ConfigKey& required();                               // text, list or optional: not empty
  ConfigKey& secret();                                 // never printed
  ConfigKey& counts_if(std::function<bool()> counts);  // only printed while it has an effect
  // Another name it is known by; accepted wherever the key is, never printed.
  ConfigKey& also(std::string_view alias);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& aliases() const { return aliases_; }
  const std::string& help() const { return help_; }
  const std::string& default_text() const { return default_; }  // TOML; empty: unset
  std::string text() const { return print_(); }                 // the value now
  bool was_set() const { return was_set_; }

 private:
  friend class ConfigBinder;
  friend class ConfigTable;

  void set(const ConfigValue& value);
  void check(const std::string& shown, const std::string& where) const;
  void read_env(const std::string& variable);
  bool is_called(std::string_view name) const;

  std::string name_, help_, default_;
  std::vector<std::string> aliases_;
  std::function<void(const ConfigValue&)> read_;
  std::function<std::string()> print_;
  std::function<std::optional<double>()> number_;  // the value, if the key is a number and set
  std::function<bool()> counts_;                   // empty: always
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = std::numeric_limits<double>::infinity();
  bool low_allowed_ = true;
  bool required_ = false;
  bool secret_ = false;
  bool was_set_ = false;
};

class ConfigBinder {
 public:
  // T: bool, int, int64_t, double, std::string, std::vector<std::string>, or std::optional of one
  // of the first five. The field must outlive the table.
  template <typename T>
  ConfigKey& key(std::string_view name, T& field, std::string help);

  // An enum by names.
  template <typename E>
  ConfigKey& choice(std::string_view name, E& field, std::vector<std::pair<std::string, E>> values,
                    std::string help) {
    std::vector<std::string> names;
    for (const auto& value : values) names.push_back(value.first);
    const auto get = [&field, values] {
      size_t i = 0;
      while (i + 1 < values.size() && values[i].second != field) ++i;
      return i;
    };
    const auto set = [&field, values](size_t i) { field = values[i].second; };
    return choice_of(name, std::move(names), get, set, std::move(help));
  }

  // A number, or a word that stands for `value`.
  ConfigKey& key_or(std::string_view name, int64_t& field, std::string word, int64_t value,
                    std::string help);

  // The keys of a part, under `name.`.
  template <typename T>
  void section(std::string_view name, T& part) {
    ConfigBinder inner(keys_, prefix_ + std::string(name) + ".");
    part.bind(inner);
  }

 private:
  friend class ConfigTable;
  ConfigBinder(std::deque<ConfigKey>& keys, std::string prefix)
      : keys_(keys), prefix_(std::move(prefix)) {}

  ConfigKey& add(std::string_view name, std::string help);
  ConfigKey& choice_of(std::string_view name, std::vector<std::string> names,
                       std::function<size_t()> get, std::function<void(size_t)> set,
                       std::string help);

  std::deque<ConfigKey>& keys_;
  std::string prefix_;
};

class ConfigTable {
 public:
  template <typename T>
  explicit ConfigTable(T& target) {
    ConfigBinder binder(keys_, "");
    target.bind(binder);
  }
  ConfigTable(const ConfigTable&) = delete;
  ConfigTable& operator=(const ConfigTable&) = delete;

  void load_file(const std::string& path);
  void load_text(std::string_view toml, const std::string& source);
  // PREFIX_TRAIN_LR for train.lr: the environment's word for every key.
  void load_env(std::string_view prefix);
  void set(std::string_view assignment);                  // "train.lr=3e-4"
  void set(std::string_view key, std::string_view text);  // as typed

  // Once all is loaded: ranges (of defaults too) and required keys.
  void check() const;

  const std::deque<ConfigKey>& keys() const { return keys_; }
  const ConfigKey& key(std::string_view name) const;  // throws where it is unknown
  // Every key as it is now; load_text() reads it back, but for secrets, which stay unsaid.
  std::string to_toml() const;
  std::string reference() const;  // a line per key: name, default, what it is

 private:
  ConfigKey& find(std::string_view name, const std::string& where);
  void assign(const ConfigValue& value);

  std::deque<ConfigKey> keys_;
};

}  // namespace ashlar
