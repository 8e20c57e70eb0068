#include "ashlar/text/jinja/globals.h"

#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/functions.h"
#include "ashlar/text/jinja/objects.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"

#include <array>

namespace ashlar::text::jinja {
namespace {

Value range(Runtime&, const Arguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1);
  if (!bound.has(1)) return Value(std::make_shared<Range>(0, bound.integer(0), 1));
  return Value(std::make_shared<Range>(bound.integer(0), bound.integer(1), bound.integer(2, 1)));
}

// dict(mapping or pairs, name=value, ...)
Dict make_dict(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fault("dict expected at most 1 argument");
  Dict dict;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    // Python asks it for `keys` first.
    if (source.is_undefined()) fault("{}", source.undefined_reason());
    if (source.is_dict()) {
      runtime.pay_items(2 * source.dict().size());
      dict = source.dict();
    } else {
      for (const Value& pair : iterate(runtime, source)) {
        const std::vector<Value> items = iterate(runtime, pair);
        if (items.size() != 2) fault("dict: an element has length {}, 2 is required", items.size());
        runtime.step(items[0].weight());
        dict.set(items[0], items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(Value(name), value);
  return dict;
}

Value dict(Runtime& runtime, const Arguments& arguments) {
  return Value(make_dict(runtime, arguments));
}

Value make_namespace(Runtime& runtime, const Arguments& arguments) {
  auto object = std::make_shared<Namespace>(make_dict(runtime, arguments));
  runtime.adopt(object);
  return Value(std::move(object));
}

Value cycler(Runtime&, const Arguments& arguments) {
  if (!arguments.named.empty()) fault("cycler() takes no named arguments");
  if (arguments.positional.empty()) fault("at least one item has to be provided");
  return Value(std::make_shared<Cycler>(arguments.positional));
}

Value joiner(Runtime&, const Arguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"});
  return Value(std::make_shared<Joiner>(bound.has(0) ? bound[0] : Value(", ")));
}

Value raise_exception(Runtime& runtime, const Arguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  throw Fault(str(runtime, bound[0]));
}

// strftime of the C locale; %f, %z and %Z as Python has them for a time without a zone.
Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  const std::tm now = runtime.now();
  std::string out;
  const std::string& format = bound.string(0);
  runtime.pay_bytes(format.size());
  runtime.step(static_cast<int64_t>(format.size() / 2));
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    std::string directive = {'%', format[++i]};
    if (directive[1] == '-' && i + 1 < format.size()) directive += format[++i];
    if (directive == "%f") out += "000000";
    if (directive == "%f" || directive == "%z" || directive == "%Z") continue;
    std::array<char, 256> buffer;
    const size_t length = std::strftime(buffer.data(), buffer.size(), directive.c_str(), &now);
    runtime.pay_bytes(length);
    out.append(buffer.data(), length);
  }
  return Value(std::move(out));
}

}  // namespace

void set_globals(Scope& scope) {
  const auto add = [&](const char* name, NativeFunction::Body body) {
    scope.set(name, Value(std::make_shared<NativeFunction>(name, std::move(body))));
  };
  add("range", range);
  add("dict", dict);
  add("namespace", make_namespace);
  add("cycler", cycler);
  add("joiner", joiner);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
}

}  // namespace ashlar::text::jinja
