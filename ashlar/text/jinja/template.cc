#include "ashlar/text/jinja/template.h"

#include "ashlar/text/jinja/globals.h"
#include "ashlar/text/jinja/parser.h"

namespace ashlar::text::jinja {
namespace {

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  return parts;
}

}  // namespace

Template::Template(std::string_view source, std::string where, const Limits& limits)
    : where_(std::move(where)),
      body_(std::make_shared<const Body>(parse(source, where_, limits.max_parse_nesting))) {}

Rendered Template::render(const Dict& variables, const RenderOptions& options) const {
  Runtime runtime(options.limits, options.now ? options.now : local_time);
  const auto globals = std::make_shared<Scope>();
  set_globals(*globals);
  const auto scope = std::make_shared<Scope>(globals);
  for (const auto& [name, value] : variables.entries()) {
    if (name.is_string()) scope->set(name.string(), value);
  }
  Evaluator evaluator(runtime, where_);
  Rendered rendered;
  rendered.text = evaluator.run(*body_, scope);
  rendered.generated = evaluator.generated();
  return rendered;
}

}  // namespace ashlar::text::jinja
