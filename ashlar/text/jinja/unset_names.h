// Which names a template can't read although the caller passed them: a name that a body sets before
// it reads it, and that no body around it mentions, is undefined there until it is set, also for
// the loops and macros inside. So jinja2 compiles it (jinja2/idtracking.py), and templates are
// written against it.
#pragma once

#include "ashlar/text/jinja/ast.h"

namespace ashlar::text::jinja {

// Fills `unset` of `root` and of every body in it.
void find_unset_names(Body& root);

}  // namespace ashlar::text::jinja
