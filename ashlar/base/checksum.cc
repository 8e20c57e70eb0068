#include "ashlar/base/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ashlar {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87ull;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Full;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9ull;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63ull;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5ull;

static_assert(std::endian::native == std::endian::little, "file formats are read as they lie");

template <typename T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

uint64_t round(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}

}  // namespace

void Xxh64::consume(const std::byte* stripe) {
  for (size_t i = 0; i < 4; ++i) lanes_[i] = round(lanes_[i], load<uint64_t>(stripe + 8 * i));
}

void Xxh64::update(std::span<const std::byte> data) {
  const size_t held = total_ % tail_.size();
  total_ += data.size();
  if (held > 0) {
    const size_t taken = std::min(data.size(), tail_.size() - held);
    std::ranges::copy(data.first(taken), tail_.begin() + static_cast<std::ptrdiff_t>(held));
    data = data.subspan(taken);
    if (held + taken < tail_.size()) return;
    consume(tail_.data());
  }
  for (; data.size() >= tail_.size(); data = data.subspan(tail_.size())) consume(data.data());
  std::ranges::copy(data, tail_.begin());
}

uint64_t Xxh64::digest() const {
  uint64_t hash = kPrime5;  // the seed, 0, plus a constant where no stripe was full
  if (total_ >= tail_.size()) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = (hash ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  hash += total_;
  const std::byte* p = tail_.data();
  size_t left = total_ % tail_.size();
  for (; left >= 8; left -= 8, p += 8) {
    hash = std::rotl(hash ^ round(0, load<uint64_t>(p)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    hash = std::rotl(hash ^ (load<uint32_t>(p) * kPrime1), 23) * kPrime2 + kPrime3;
    left -= 4;
    p += 4;
  }
  for (; left > 0; --left, ++p) {
    hash = std::rotl(hash ^ (std::to_integer<uint64_t>(*p) * kPrime5), 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

uint64_t xxh64(std::span<const std::byte> data) {
  Xxh64 hash;
  hash.update(data);
  return hash.digest();
}

uint64_t xxh64(std::string_view text) { return xxh64(std::as_bytes(std::span(text))); }

uint32_t crc32c(std::span<const std::byte> data, uint32_t crc) {
  static constexpr std::array<uint32_t, 256> kTable = crc_table();
  crc = ~crc;
  for (const std::byte b : data) {
    crc = (crc >> 8) ^ kTable[(crc ^ std::to_integer<uint32_t>(b)) & 0xffu];
  }
  return ~crc;
}

}  // namespace ashlar
