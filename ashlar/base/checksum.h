// Checksums that tell a torn or altered file from a whole one (not cryptographic): XXH64 (Y.
// Collet) runs at memory speed and guards our own files; CRC-32C is what TFRecord files carry.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ashlar {

// XXH64 with seed 0 of bytes that arrive in pieces; the pieces' borders do not matter.
class Xxh64 {
 public:
  void update(std::span<const std::byte> data);
  uint64_t digest() const;  // of everything so far

 private:
  void consume(const std::byte* stripe);  // 32 bytes

  std::array<uint64_t, 4> lanes_ = {0x60EA27EEADC0B5D6ull, 0xC2B2AE3D27D4EB4Full, 0,
                                    0x61C8864E7A143579ull};
  std::array<std::byte, 32> tail_{};
  uint64_t total_ = 0;
};

uint64_t xxh64(std::span<const std::byte> data);
uint64_t xxh64(std::string_view text);

// CRC-32C (Castagnoli, reflected); `crc` goes on from the bytes before.
uint32_t crc32c(std::span<const std::byte> data, uint32_t crc = 0);

}  // namespace ashlar
