// Parses a template. Errors (ashlar::Error) carry "where:line:column:". Names of filters and tests
// are resolved here, so an unknown one fails at load unless it stands inside a condition.
#pragma once

#include "ashlar/text/jinja/ast.h"

#include <string>
#include <string_view>

namespace ashlar::text::jinja {

// `max_nesting` bounds the depth of the tree, and with it the parser's and the evaluator's
// recursion.
Body parse(std::string_view source, const std::string& where, int max_nesting);

}  // namespace ashlar::text::jinja
