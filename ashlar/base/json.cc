#include "ashlar/base/json.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/lfs_pointer.h"
#include "ashlar/base/shown_text.h"

#include <algorithm>

namespace ashlar {
namespace {

constexpr int64_t kMaxFile = int64_t{1} << 30;
constexpr size_t kMaxReason = 200;

struct Place {
  size_t line = 1, column = 1;
};
Place place_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t newline = before.rfind('\n');
  return {1 + static_cast<size_t>(std::ranges::count(before, '\n')),
          newline == std::string_view::npos ? before.size() + 1 : before.size() - newline};
}

// The parser itself copes with any depth; what walks its result recursively does not.
void check_depth(std::string_view text, const std::string& source, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) {
        const Place place = place_of(text, i);
        fail("{}:{}:{}: nested deeper than {} levels", source, place.line, place.column, max_depth);
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..."
// without what we say ourselves.
std::string reason_of(const std::string& what) {
  std::string reason = what.substr(std::min(what.find("] ") + 2, what.size()));
  if (reason.starts_with("parse error at line")) reason.erase(0, reason.find(": ") + 2);
  return on_one_line(reason, kMaxReason);
}

}  // namespace

void check_json(std::string_view text, const std::string& source, int max_depth) {
  check_no_lfs_pointer(text, source);
  // The parser takes a NUL for the end of its input.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    const Place place = place_of(text, nul);
    fail("{}:{}:{}: a NUL byte", source, place.line, place.column);
  }
  check_depth(text, source, max_depth);
}

void fail_json(std::string_view text, const std::string& source, size_t byte,
               const std::string& what) {
  if (byte == 0) fail("{}: {}", source, reason_of(what));
  const Place place = place_of(text, byte - 1);
  fail("{}:{}:{}: {}", source, place.line, place.column, reason_of(what));
}

std::string_view json_reason(std::string_view what) {
  const size_t code = what.starts_with("[json.exception.") ? what.find("] ") : what.npos;
  return code == what.npos ? what : what.substr(code + 2);
}

std::string read_json_text(const std::string& path) { return read_file(path, kMaxFile); }

}  // namespace ashlar
