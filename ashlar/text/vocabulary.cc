#include "ashlar/text/vocabulary.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <functional>

namespace ashlar::text {

Vocabulary Vocabulary::from_json(JsonView json) {
  Vocabulary vocabulary;
  const auto tokens = static_cast<int64_t>(json.members());
  // A hostile file may name a huge id: memory stays within a small multiple of the token count.
  const int64_t highest = std::min<int64_t>(kMaxTokenId, 4 * tokens + 65536);
  json.each_member([&](std::string_view token, JsonView value) {
    const auto id = static_cast<int32_t>(value.integer(0, highest));
    if (!vocabulary.add(token, id)) {
      value.fail(fmt::format("id {} is already that of token \"{}\"", id,
                             vocabulary.token(id).value_or(token)));
    }
  });
  return vocabulary;
}

bool Vocabulary::add(std::string_view token, int32_t id) {
  ASHLAR_DCHECK(id >= 0 && id <= kMaxTokenId);
  if (2 * (static_cast<size_t>(count_) + 1) > slots_.size()) grow();
  if (slots_[slot_of(token)] >= 0 || this->token(id)) return false;
  put(token, id);
  return true;
}

void Vocabulary::add_again(std::string_view token, int32_t id) {
  ASHLAR_DCHECK(find(token) && !this->token(id));
  if (2 * (static_cast<size_t>(count_) + 1) > slots_.size()) grow();
  put(token, id);
}

void Vocabulary::put(std::string_view token, int32_t id) {
  const size_t slot = slot_of(token);
  if (id >= id_limit()) entries_.resize(static_cast<size_t>(id) + 1);
  entries_[static_cast<size_t>(id)] = {bytes_.size(), static_cast<int64_t>(token.size())};
  bytes_.append(token);
  slots_[slot] = id;
  ++count_;
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const int32_t id = slots_[slot_of(token)];
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::optional<std::string_view> Vocabulary::token(int32_t id) const {
  if (id < 0 || id >= id_limit()) return std::nullopt;
  const Entry& entry = entries_[static_cast<size_t>(id)];
  if (entry.length < 0) return std::nullopt;
  return std::string_view(bytes_).substr(entry.offset, static_cast<size_t>(entry.length));
}

size_t Vocabulary::slot_of(std::string_view token) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>{}(token)&mask;
  while (slots_[slot] >= 0 && *this->token(slots_[slot]) != token) slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow() {
  slots_.assign(std::max<size_t>(64, 2 * slots_.size()), -1);
  for (int32_t id = 0; id < id_limit(); ++id) {
    if (const auto known = token(id)) slots_[slot_of(*known)] = id;
  }
}

}  // namespace ashlar::text
