#include "ashlar/text/jinja/macro.h"

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"

#include <algorithm>

namespace ashlar::text::jinja {
namespace {

// Takes the argument of that name out of the list; nullopt when it is not there.
std::optional<Value> take_named(Arguments& arguments, std::string_view name) {
  std::optional<Value> value;
  auto& named = arguments.named;
  const auto found = std::find_if(named.begin(), named.end(),
                                  [&](const auto& argument) { return argument.first == name; });
  if (found != named.end()) {
    value.emplace(std::move(found->second));
    named.erase(found);
  }
  return value;
}

std::string described(const MacroCode& code) {
  return code.name.empty() ? "a call block" : fmt::format("macro '{}'", code.name);
}

// Sets `caller`, `kwargs` and `varargs` where the body uses them; Fault for arguments left over.
void bind_special(const MacroCode& code, Arguments& rest, size_t taken, Scope& scope) {
  if (code.uses_caller && scope.find_here("caller") == nullptr) {
    const std::optional<Value> caller = take_named(rest, "caller");
    scope.set("caller", caller ? *caller : Value::undefined("No caller defined"));
  }
  if (code.uses_kwargs && scope.find_here("kwargs") == nullptr) {
    Dict named;
    for (const auto& [name, value] : rest.named) named.set(Value(name), value);
    scope.set("kwargs", Value(std::move(named)));
  } else if (!rest.named.empty()) {
    fault("{} takes no keyword argument '{}'", described(code), rest.named.front().first);
  }
  if (code.uses_varargs && scope.find_here("varargs") == nullptr) {
    const auto first = rest.positional.begin() + static_cast<std::ptrdiff_t>(taken);
    scope.set("varargs", Value::tuple({first, rest.positional.end()}));
  } else if (rest.positional.size() > taken) {
    fault("{} takes not more than {} argument(s)", described(code), code.parameters.size());
  }
}

}  // namespace

std::optional<Value> Macro::attribute(std::string_view name) const {
  if (name == "name") return code_->name.empty() ? Value() : Value(code_->name);
  if (name == "caller") return Value(code_->uses_caller);
  if (name == "catch_kwargs") return Value(code_->uses_kwargs);
  if (name == "catch_varargs") return Value(code_->uses_varargs);
  if (name == "arguments") {
    return Value::tuple({code_->parameters.begin(), code_->parameters.end()});
  }
  return std::nullopt;
}

Value Evaluator::call_macro(const MacroCode& code, const ScopePtr& defined_in,
                            const Arguments& arguments) {
  const ScopePtr scope = enter(code.body, defined_in);
  Arguments rest = arguments;
  const size_t count = code.parameters.size();
  const size_t taken = std::min(count, arguments.positional.size());
  std::vector<std::optional<Value>> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = i < taken ? arguments.positional[i] : take_named(rest, code.parameters[i]);
    if (values[i]) scope->set(code.parameters[i], *values[i]);
  }
  bind_special(code, rest, taken, *scope);
  for (size_t i = 0; i < count; ++i) {
    if (values[i]) continue;
    const size_t without_default = count - code.defaults.size();
    const std::string& name = code.parameters[i];
    scope->set(name, i < without_default
                         ? Value::undefined(fmt::format("parameter '{}' was not provided", name))
                         : evaluate(*code.defaults[i - without_default], scope));
  }
  std::string out;
  execute(code.body.statements, scope, out);
  return Value(std::move(out));
}

}  // namespace ashlar::text::jinja
