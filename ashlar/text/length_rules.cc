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

}  // namespace

std::optional<Truncation> Truncation::from_json(std::optional<JsonView> json) {
  if (!json) return std::nullopt;
  return Truncation{json->at("max_length").integer(0, INT64_MAX), side(*json)};
}

void Truncation::apply(std::vector<int32_t>& ids, size_t added) const {
  const auto limit = static_cast<size_t>(max_length);
  ASHLAR_CHECK(added <= limit, "truncation to {} tokens leaves no room for {} special tokens",
               max_length, added);
  const size_t room = limit - added;
  if (ids.size() <= room) return;
  if (direction == Side::kLeft) {
    ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(room));
  } else {
    ids.resize(room);
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
  const auto size = static_cast<int64_t>(encoding.ids.size());
  int64_t wanted = fixed_length.value_or(size);
  wanted = (wanted + multiple_of - 1) / multiple_of * multiple_of;
  if (wanted <= size) return;
  const auto missing = static_cast<size_t>(wanted - size);
  const auto pad = [&](std::vector<int32_t>& list, int32_t value) {
    list.insert(direction == Side::kLeft ? list.begin() : list.end(), missing, value);
  };
  pad(encoding.ids, id);
  pad(encoding.type_ids, type_id);
}

}  // namespace ashlar::text
