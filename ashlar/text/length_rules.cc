#include "ashlar/text/length_rules.h"

#include "ashlar/base/error.h"
#include "ashlar/text/vocabulary.h"

#include <algorithm>

namespace ashlar::text {
namespace {

constexpr int64_t kMaxLength = 1 << 24;  // of padding, which is memory

Side side(JsonView json) {
  const auto direction = json.find("direction");
  if (!direction) return Side::kRight;
  const std::string_view name = direction->string();
  if (name != "Left" && name != "Right") direction->fail("wanted \"Left\" or \"Right\"");
  return name == "Left" ? Side::kLeft : Side::kRight;
}

Encoding slice(const Encoding& text, size_t begin, size_t end) {
  const auto part = [&](const std::vector<int32_t>& list) {
    return std::vector<int32_t>(list.begin() + static_cast<std::ptrdiff_t>(begin),
                                list.begin() + static_cast<std::ptrdiff_t>(end));
  };
  return {part(text.ids), part(text.type_ids)};
}

// The first so many tokens, or the last.
Encoding keep_tokens(const Encoding& text, size_t count, Side cut_off) {
  const size_t size = text.ids.size();
  return cut_off == Side::kLeft ? slice(text, size - count, size) : slice(text, 0, count);
}

// All pieces of `count` tokens, each `step` further on; the last one may be shorter.
std::vector<Encoding> pieces_of(const Encoding& text, size_t count, size_t step, Side cut_off) {
  std::vector<Encoding> pieces;
  const size_t size = text.ids.size();
  for (size_t done = 0, begin = 0; done < size; begin += step) {
    done = std::min(begin + count, size);
    pieces.push_back(cut_off == Side::kLeft ? slice(text, size - done, size - begin)
                                            : slice(text, begin, done));
  }
  return pieces;
}

}  // namespace

std::optional<Truncation> Truncation::from_json(std::optional<JsonView> json) {
  if (!json) return std::nullopt;
  Truncation truncation{json->at("max_length").integer(0, INT64_MAX), Strategy::kLongestFirst,
                        side(*json)};
  if (const auto stride = json->find("stride")) {
    truncation.stride = stride->integer(0, INT64_MAX);
  }
  if (const auto strategy = json->find("strategy")) {
    const std::string_view name = strategy->string();
    if (name == "OnlyFirst") truncation.strategy = Strategy::kOnlyFirst;
    if (name == "OnlySecond") truncation.strategy = Strategy::kOnlySecond;
    if (name != "LongestFirst" && truncation.strategy == Strategy::kLongestFirst) {
      strategy->fail("wanted \"LongestFirst\", \"OnlyFirst\" or \"OnlySecond\"");
    }
  }
  return truncation;
}

void Truncation::apply(std::vector<Encoding>& texts, size_t added, bool keep_rest) const {
  const auto limit = static_cast<size_t>(max_length);
  ASHLAR_CHECK(added <= limit, "truncation to {} tokens leaves no room for {} special tokens",
               max_length, added);
  const size_t room = limit - added;
  size_t total = 0;
  for (const Encoding& text : texts) total += text.ids.size();
  if (total <= room) return;
  const size_t excess = total - room;
  const auto keep = [&](Encoding& text, size_t count) {
    if (text.ids.size() <= count) return;
    if (!keep_rest) {
      text = keep_tokens(text, count, direction);
    } else if (count == 0) {
      text = Encoding{{}, {}, {text}};
    } else {
      const auto overlap = static_cast<size_t>(stride);
      ASHLAR_CHECK(overlap < count, "truncation.stride: {} is not below the {} tokens of a piece",
                   stride, count);
      std::vector<Encoding> pieces = pieces_of(text, count, count - overlap, direction);
      text = std::move(pieces.front());
      pieces.erase(pieces.begin());
      text.overflowing = std::move(pieces);
    }
  };
  if (room == 0) {
    for (Encoding& text : texts) keep(text, 0);
  } else if (strategy == Strategy::kLongestFirst && texts.size() == 2) {
    const size_t first = texts[0].ids.size(), second = texts[1].ids.size();
    const size_t shorter = std::min(first, second);
    // The longer one alone if that is enough, else both to halves.
    size_t kept_shorter = shorter, kept_longer = room > shorter ? room - shorter : 0;
    if (kept_longer < shorter) {
      kept_shorter = room / 2;
      kept_longer = room - kept_shorter;
    }
    keep(texts[0], first <= second ? kept_shorter : kept_longer);
    keep(texts[1], first <= second ? kept_longer : kept_shorter);
  } else {
    const size_t chosen = strategy == Strategy::kOnlySecond ? 1 : 0;
    ASHLAR_CHECK(chosen < texts.size(),
                 "truncation of the second text only (OnlySecond), and there is just one text");
    const size_t size = texts[chosen].ids.size();
    ASHLAR_CHECK(texts.size() == 1 || size > excess,
                 "truncation to {} tokens has to cut {} off the {} text, which has {}", max_length,
                 excess, chosen == 0 ? "first" : "second", size);
    keep(texts[chosen], size - excess);
  }
}

std::optional<Padding> Padding::from_json(std::optional<JsonView> json) {
  if (!json) return std::nullopt;
  Padding padding;
  const JsonView strategy = json->at("strategy");
  if (strategy.is_object()) {
    padding.fixed_length = strategy.at("Fixed").integer(0, kMaxLength);
  } else if (strategy.string() != "BatchLongest") {
    strategy.fail("wanted \"BatchLongest\" or {\"Fixed\": n}");
  }
  if (const auto multiple = json->find("pad_to_multiple_of")) {
    padding.multiple_of = std::max<int64_t>(1, multiple->integer(0, kMaxLength));
  }
  padding.direction = side(*json);
  padding.id = static_cast<int32_t>(json->at("pad_id").integer(0, kMaxTokenId));
  if (const auto type = json->find("pad_type_id")) {
    padding.type_id = static_cast<int32_t>(type->integer(0, INT32_MAX));
  }
  return padding;
}

void Padding::apply(Encoding& encoding) const {
  int64_t wanted = fixed_length.value_or(static_cast<int64_t>(encoding.ids.size()));
  wanted = (wanted + multiple_of - 1) / multiple_of * multiple_of;
  const auto pad = [&](Encoding& part) {
    const auto size = static_cast<int64_t>(part.ids.size());
    if (wanted <= size) return;
    const auto missing = static_cast<size_t>(wanted - size);
    const auto fill = [&](std::vector<int32_t>& list, int32_t value) {
      list.insert(direction == Side::kLeft ? list.begin() : list.end(), missing, value);
    };
    fill(part.ids, id);
    fill(part.type_ids, type_id);
  };
  pad(encoding);
  for (Encoding& piece : encoding.overflowing) pad(piece);
}

}  // namespace ashlar::text
