// Names for requests and answers that nobody can guess.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::serve {

std::string random_id(std::string_view prefix);  // prefix + 24 hex digits

// A client's x-request-id may be kept: 1 to 128 letters, digits or any of "-_.".
bool acceptable_id(std::string_view id);

}  // namespace ashlar::serve
