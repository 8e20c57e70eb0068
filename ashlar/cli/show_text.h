// Generated text as it comes, on stdout.
#pragma once

#include <string_view>

namespace ashlar::cli {

// Written whole even where a signal comes meanwhile. Throws Error where it cannot be written.
void show_text(std::string_view text);

}  // namespace ashlar::cli
