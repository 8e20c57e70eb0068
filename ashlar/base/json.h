// Parses JSON that others wrote. Syntax errors carry source:line:column; text that nests deeper
// than max_depth, is not UTF-8 or holds NUL bytes is refused. Include it in .cc files only.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace ashlar {

nlohmann::json parse_json(std::string_view text, const std::string& source, int max_depth = 64);
nlohmann::json read_json(const std::string& path, int max_depth = 64);

}  // namespace ashlar
