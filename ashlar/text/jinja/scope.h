// The variables of one level of a template; a look-up goes on to the levels around it.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text::jinja {

class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent = nullptr) : parent_(std::move(parent)) {}

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_.get()) {
      if (const Value* value = scope->find_here(name)) return value;
    }
    return nullptr;
  }

  const Value* find_here(std::string_view name) const {
    for (const auto& [key, value] : variables_) {
      if (key == name) return &value;
    }
    return nullptr;
  }

  void set(std::string_view name, Value value) {
    for (auto& [key, old] : variables_) {
      if (key == name) {
        old = std::move(value);
        return;
      }
    }
    variables_.emplace_back(name, std::move(value));
  }

  // For a name that this level doesn't have yet.
  void declare(std::string_view name, const Value& value) { variables_.emplace_back(name, value); }

  void clear() { variables_.clear(); }

 private:
  std::shared_ptr<Scope> parent_;
  std::vector<std::pair<std::string, Value>> variables_;
};

}  // namespace ashlar::text::jinja
