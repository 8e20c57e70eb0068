// What Python's str methods do, on UTF-8; shared by the methods and the filters. Whatever can grow
// text takes the runtime and pays first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {

class Runtime;

enum class Side { kLeft, kRight, kBoth };

// Without `characters`: white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> characters,
                       Side side);

// str.split and str.rsplit; without a separator: at runs of white space. max_splits < 0: all.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits);
std::vector<std::string_view> split_from_right(std::string_view text,
                                               std::optional<std::string_view> separator,
                                               int64_t max_splits);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// count < 0: all.
std::string replace(Runtime& runtime, std::string_view text, std::string_view from,
                    std::string_view to, int64_t count);
int64_t count_matches(std::string_view text, std::string_view needle);

// Pads to `width` code points; the text goes to `side`, kBoth centers it as Python does.
std::string justify(Runtime& runtime, std::string_view text, int64_t width, std::string_view fill,
                    Side side);

}  // namespace ashlar::text::jinja
