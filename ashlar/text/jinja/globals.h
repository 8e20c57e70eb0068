// The functions every template can call: range, dict, namespace, cycler, joiner, and what
// transformers adds: raise_exception(message) and strftime_now(format).
#pragma once

#include "ashlar/text/jinja/scope.h"

namespace ashlar::text::jinja {

void set_globals(Scope& scope);

}  // namespace ashlar::text::jinja
