// Data that lies beside the repository and not in it; tests that want it skip where it is absent.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

std::string shared_data(std::string_view name);

}  // namespace ashlar
