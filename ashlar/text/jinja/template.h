// A template, parsed once and rendered many times, from any number of threads. Behaves as jinja2
// does in the environment that transformers makes for chat templates
// (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, the generation tag).
#pragma once

#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/evaluator.h"
#include "ashlar/text/jinja/runtime.h"

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

struct RenderOptions {
  Limits limits;
  std::function<std::tm()> now;  // what strftime_now() prints; empty: the local time
};

struct Rendered {
  std::string text;
  std::vector<GeneratedSpan> generated;
};

class Template {
 public:
  // `where` names the source in errors. Throws Error with "where:line:column: ..." if it can't be
  // parsed or names filters or tests that don't exist.
  Template(std::string_view source, std::string where, const Limits& limits = {});

  // Throws Error with the place when the template fails or goes beyond a limit.
  Rendered render(const Dict& variables, const RenderOptions& options = {}) const;

 private:
  std::string where_;
  std::shared_ptr<const Body> body_;
};

}  // namespace ashlar::text::jinja
