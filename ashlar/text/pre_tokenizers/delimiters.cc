#include "ashlar/text/pre_tokenizers/delimiters.h"

#include <array>
#include <utility>

namespace ashlar::text {
namespace {

constexpr std::array<std::pair<std::string_view, Delimiters>, 5> kNames = {{
    {"Removed", Delimiters::kRemoved},
    {"Isolated", Delimiters::kIsolated},
    {"MergedWithPrevious", Delimiters::kMergedWithPrevious},
    {"MergedWithNext", Delimiters::kMergedWithNext},
    {"Contiguous", Delimiters::kContiguous},
}};

struct Part {
  Span span;
  bool matched;
};

std::vector<Part> parts_of(size_t size, const std::vector<Span>& matches, bool invert) {
  std::vector<Part> parts;
  size_t done = 0;
  for (const Span& match : matches) {
    if (done < match.begin) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done < size) parts.push_back({{done, size}, invert});
  return parts;
}

}  // namespace

Delimiters delimiters_from_json(JsonView json) {
  for (const auto& [name, value] : kNames) {
    if (json.string() == name) return value;
  }
  json.fail("unknown behavior \"" + std::string(json.string()) +
            "\"; known are Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

std::vector<Span> split_around(size_t size, const std::vector<Span>& matches, Delimiters delimiters,
                               bool invert) {
  const std::vector<Part> parts = parts_of(size, matches, invert);
  std::vector<Span> out;
  bool previous_matched = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [span, matched] = parts[i];
    bool joins = false;  // whether the part continues the one before
    switch (delimiters) {
      case Delimiters::kRemoved:
        if (matched) continue;
        break;
      case Delimiters::kIsolated:
        break;
      case Delimiters::kMergedWithPrevious:
        joins = matched && !previous_matched;
        break;
      case Delimiters::kMergedWithNext:
        // A match belongs to the text right after it; of several in a row only the last one does.
        joins = !matched && previous_matched;
        break;
      case Delimiters::kContiguous:
        joins = matched == previous_matched;
        break;
    }
    if (joins && !out.empty()) {
      out.back().end = span.end;
    } else {
      out.push_back(span);
    }
    previous_matched = matched;
  }
  return out;
}

}  // namespace ashlar::text
