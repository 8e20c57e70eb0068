#include "ashlar/base/human.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar {
namespace {

TEST(HumanTest, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(1.5e9), "1.5 GB");
  EXPECT_EQ(human_bytes(123456789), "123 MB");
  EXPECT_EQ(human_bytes(999.6e6), "1.0 GB");
  EXPECT_EQ(human_bytes(-2048), "-2.0 kB");
}

TEST(HumanTest, Counts) {
  EXPECT_EQ(human_count(512), "512");
  EXPECT_EQ(human_count(0.25), "0.2");
  EXPECT_EQ(human_count(12345), "12.3k");
  EXPECT_EQ(human_count(124e6), "124M");
  EXPECT_EQ(human_count(5e18), "5000P");
  EXPECT_EQ(human_count(std::nan("")), "nan");
}

TEST(HumanTest, Seconds) {
  EXPECT_EQ(human_seconds(0.42), "0.4s");
  EXPECT_EQ(human_seconds(9.96), "10s");
  EXPECT_EQ(human_seconds(59.6), "1m 00s");
  EXPECT_EQ(human_seconds(192), "3m 12s");
  EXPECT_EQ(human_seconds(7500), "2h 05m");
  EXPECT_EQ(human_seconds(3 * 86400 + 4 * 3600), "3d 04h");
  EXPECT_EQ(human_seconds(-1), "?");
  EXPECT_EQ(human_seconds(INFINITY), "?");
}

TEST(HumanTest, ParsesCounts) {
  EXPECT_EQ(parse_count("0"), 0);
  EXPECT_EQ(parse_count("-17"), -17);
  EXPECT_EQ(parse_count("32K"), 32768);
  EXPECT_EQ(parse_count("32k"), 32000);
  EXPECT_EQ(parse_count("25.6k"), 25600);
  EXPECT_EQ(parse_count("2M"), 2097152);
  EXPECT_EQ(parse_count("1.5M"), 1572864);
  EXPECT_EQ(parse_count("2m"), 2000000);
  EXPECT_EQ(parse_count("3g"), 3000000000);
  EXPECT_EQ(parse_count("1G"), 1073741824);
  EXPECT_EQ(parse_count("1e6"), 1000000);
  EXPECT_EQ(parse_count("9223372036854775807"), INT64_MAX);
}

TEST(HumanTest, RefusesWhatIsNoCount) {
  for (const char* text : {"", "k", "abc", "1.5", "1.0001k", "1 k", "1kk", "1e30", "nan", "inf",
                           "9223372036854775808", "9223372036854775807K", "0x10", "1T"}) {
    EXPECT_EQ(parse_count(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ashlar
