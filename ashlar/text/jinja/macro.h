// A macro or call block as a value: its code and the scope it was defined in.
#pragma once

#include "ashlar/text/jinja/evaluator.h"
#include "ashlar/text/jinja/object.h"

#include <memory>

namespace ashlar::text::jinja {

class Macro : public Object {
 public:
  Macro(Evaluator& evaluator, std::shared_ptr<const MacroCode> code, Evaluator::ScopePtr scope)
      : evaluator_(evaluator), code_(std::move(code)), scope_(std::move(scope)) {}

  std::string_view type_name() const override { return "Macro"; }
  std::string repr(Runtime&) const override {
    return code_->name.empty() ? "<Macro anonymous>" : "<Macro '" + code_->name + "'>";
  }
  bool callable() const override { return true; }
  std::optional<Value> attribute(std::string_view name) const override;
  Value call(Runtime&, const Arguments& arguments) override {
    return evaluator_.call_macro(*code_, scope_, arguments);
  }

 private:
  Evaluator& evaluator_;
  std::shared_ptr<const MacroCode> code_;
  Evaluator::ScopePtr scope_;
};

}  // namespace ashlar::text::jinja
