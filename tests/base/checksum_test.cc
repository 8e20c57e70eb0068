#include "ashlar/base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ashlar {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// From the xxHash library (Python package xxhash 4.1, seed 0): the lengths reach each branch.
TEST(Xxh64Test, KnownVectors) {
  EXPECT_EQ(xxh64(""), 0xef46db3751d8e999ull);
  EXPECT_EQ(xxh64("a"), 0xd24ec4f1a98c6e5bull);
  EXPECT_EQ(xxh64("abc"), 0x44bc2cf5ad770999ull);
  EXPECT_EQ(xxh64("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1ull);
  std::vector<std::byte> ramp(1000);
  for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<std::byte>(i * 7 + 3);
  EXPECT_EQ(xxh64(std::span<const std::byte>(ramp)), 0x5f235fa033f1a3fbull);
  EXPECT_EQ(xxh64(std::span<const std::byte>(ramp).first(32)), 0x23c3c17ef790fd97ull);
  EXPECT_EQ(xxh64(std::span<const std::byte>(ramp).first(45)), 0x86faee00897c4b41ull);
}

TEST(Xxh64Test, PiecesDoNotMatter) {
  std::vector<std::byte> data(301);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * i);
  const uint64_t whole = xxh64(std::span<const std::byte>(data));
  for (size_t step = 1; step <= 101; ++step) {
    Xxh64 hash;
    for (size_t at = 0; at < data.size(); at += step) {
      hash.update(std::span<const std::byte>(data).subspan(at, std::min(step, data.size() - at)));
      hash.update({});
    }
    ASSERT_EQ(hash.digest(), whole) << "pieces of " << step;
  }
}

TEST(Xxh64Test, EveryFlippedBitShows) {
  std::vector<std::byte> data(97, std::byte{0x5a});
  const uint64_t whole = xxh64(std::span<const std::byte>(data));
  for (size_t bit = 0; bit < data.size() * 8; ++bit) {
    data[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    ASSERT_NE(xxh64(std::span<const std::byte>(data)), whole) << "bit " << bit;
    data[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32cTest, KnownVectors) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43u);
  std::vector<std::byte> ramp(32);
  for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(ramp), 0x46dd794eu);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32cTest, GoesOn) {
  EXPECT_EQ(crc32c(bytes_of("56789"), crc32c(bytes_of("1234"))), 0xe3069283u);
}

}  // namespace
}  // namespace ashlar
