// Parses JSON that others wrote, into whatever document type the caller includes (nlohmann::json,
// nlohmann::ordered_json). Syntax errors carry source:line:column; text that nests deeper than
// max_depth, is not UTF-8 or holds NUL bytes is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ashlar {

constexpr int kJsonDepth = 64;

// What the parser itself would let pass: depth and NUL bytes.
void check_json(std::string_view text, const std::string& source, int max_depth);
// Throws Error for a parser's complaint; byte counts from 1, 0 where there is no place.
[[noreturn]] void fail_json(std::string_view text, const std::string& source, size_t byte,
                            const std::string& what);
// What a JSON library's exception says, without its own code in front.
std::string_view json_reason(std::string_view what);
std::string read_json_text(const std::string& path);

template <typename Json>
Json parse_json(std::string_view text, const std::string& source, int max_depth = kJsonDepth) {
  check_json(text, source, max_depth);
  try {
    return Json::parse(text);
  } catch (const typename Json::parse_error& error) {
    fail_json(text, source, error.byte > 0 ? error.byte : 1, error.what());
  } catch (const typename Json::exception& error) {  // a number out of range
    fail_json(text, source, 0, error.what());
  }
}

template <typename Json>
Json read_json(const std::string& path, int max_depth = kJsonDepth) {
  return parse_json<Json>(read_json_text(path), path, max_depth);
}

}  // namespace ashlar
