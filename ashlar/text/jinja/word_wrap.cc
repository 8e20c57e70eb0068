#include "ashlar/text/jinja/word_wrap.h"

#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <optional>
#include <string>

namespace ashlar::text::jinja {
namespace {

// Of textwrap, which knows ASCII's white space only.
bool is_gap(char32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r';
}
bool is_word(char32_t c) { return c == '_' || is_alnum(c); }
bool is_letter(char32_t c) { return is_word(c) && !is_decimal(c); }
bool is_word_or_point(char32_t c) {
  return is_word(c) || std::u32string_view(U"!\"'&.,?").find(c) != std::u32string_view::npos;
}

struct Chunk {
  size_t begin, end;  // code points of the line
};

class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {
    for (size_t at = 0; at < text.size();) {
      offsets_.push_back(at);
      points_ += next_code_point(text, at);
    }
    offsets_.push_back(text.size());
  }

  std::string_view text(const Chunk& chunk) const {
    return text_.substr(offsets_[chunk.begin], offsets_[chunk.end] - offsets_[chunk.begin]);
  }
  bool is_blank(const Chunk& chunk) const { return strip(text(chunk), {}, Side::kBoth).empty(); }

  // What a line may be broken between: white space, words, parts of words that have hyphens.
  std::vector<Chunk> chunks(bool break_on_hyphens) const {
    std::vector<Chunk> out;
    for (size_t at = 0; at < points_.size();) {
      const size_t end = is_gap(points_[at])      ? run_end(at)
                         : !break_on_hyphens      ? run_end(at)
                         : is_dash_after_word(at) ? dashes_end(at)
                                                  : part_end(at);
      out.push_back({at, end});
      at = end;
    }
    return out;
  }

  // Where to break a chunk that doesn't fit into `space`: behind its last hyphen there, if other
  // characters come before that.
  size_t break_at(const Chunk& chunk, size_t space, bool break_on_hyphens) const {
    const size_t end = std::min(chunk.begin + space, chunk.end);
    if (!break_on_hyphens || chunk.end - chunk.begin <= space) return end;
    const auto begin = points_.begin();
    for (size_t hyphen = end; hyphen-- > chunk.begin + 1;) {
      if (points_[hyphen] != '-') continue;
      const auto first = begin + static_cast<std::ptrdiff_t>(chunk.begin);
      const auto last = begin + static_cast<std::ptrdiff_t>(hyphen);
      const bool others = std::any_of(first, last, [](char32_t c) { return c != '-'; });
      return others ? hyphen + 1 : end;
    }
    return end;
  }

 private:
  bool is(bool (*kind)(char32_t), size_t at) const {
    return at < points_.size() && kind(points_[at]);
  }
  // Same, `back` code points before `at`.
  bool is_before(bool (*kind)(char32_t), size_t at, size_t back) const {
    return at >= back && kind(points_[at - back]);
  }
  bool is_hyphen(size_t at) const { return at < points_.size() && points_[at] == '-'; }

  size_t run_end(size_t at) const {
    const bool gap = is_gap(points_[at]);
    while (at < points_.size() && is_gap(points_[at]) == gap) ++at;
    return at;
  }
  size_t dashes_end(size_t at) const {
    while (is_hyphen(at)) ++at;
    return at;
  }
  // Two hyphens or more between words: an em dash.
  bool is_dash_after_word(size_t at) const {
    if (!is_hyphen(at) || !is_before(is_word_or_point, at, 1)) return false;
    const size_t end = dashes_end(at);
    return end - at >= 2 && is(is_word, end);
  }
  // A hyphen between two letters and two letters, or a letter of which is followed by a hyphen.
  bool is_hyphen_in_word(size_t at) const {
    if (!is_hyphen(at) || !is_before(is_letter, at, 1)) return false;
    const bool behind = is_before(is_letter, at, 2) ||
                        (at >= 3 && points_[at - 2] == '-' && is_letter(points_[at - 3]));
    if (!behind || !is(is_letter, at + 1)) return false;
    return is(is_letter, at + 2) || (is_hyphen(at + 2) && is(is_letter, at + 3));
  }
  // A word up to a gap, behind a hyphen, or before an em dash.
  size_t part_end(size_t at) const {
    const size_t begin = at;
    for (; at < points_.size() && !is_gap(points_[at]); ++at) {
      if (at > begin && is_dash_after_word(at)) return at;
      if (at > begin && is_hyphen_in_word(at)) return at + 1;
    }
    return at;
  }

  std::string_view text_;
  std::u32string points_;
  std::vector<size_t> offsets_;  // of each code point, in bytes, and the end
};

}  // namespace

std::vector<std::string_view> wrap_words(std::string_view text, const WrapStyle& style) {
  const Line line(text);
  const std::vector<Chunk> chunks = line.chunks(style.break_on_hyphens);
  const auto width = static_cast<size_t>(style.width);
  std::vector<std::string_view> out;
  std::optional<Chunk> left;  // of a word that was broken
  for (size_t next = 0; next < chunks.size() || left;) {
    const auto chunk = [&] { return left ? *left : chunks[next]; };
    const auto take = [&] {
      if (!left) ++next;
      left.reset();
    };
    const auto more = [&] { return left || next < chunks.size(); };
    if (!out.empty() && line.is_blank(chunk())) take();
    if (!more()) break;
    Chunk taken{chunk().begin, chunk().begin};
    std::optional<Chunk> last;
    while (more() && chunk().end - taken.begin <= width) {
      last = chunk();
      taken.end = last->end;
      take();
    }
    if (more() && chunk().end - chunk().begin > width) {
      const Chunk word = chunk();
      if (style.break_long_words) {
        const size_t space = width - (taken.end - taken.begin);
        const size_t end = line.break_at(word, space, style.break_on_hyphens);
        last = Chunk{word.begin, end};
        taken.end = end;
        take();
        left = Chunk{end, word.end};
      } else if (!last) {
        last = word;
        taken.end = word.end;
        take();
      }
    }
    if (last && line.is_blank(*last)) taken.end = last->begin;
    if (taken.end > taken.begin) out.push_back(line.text(taken));
  }
  return out;
}

}  // namespace ashlar::text::jinja
