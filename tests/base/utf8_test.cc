#include "ashlar/base/utf8.h"

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(Utf8, IllFormedTextIsFound) {
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xC3\x28", "\xFF"}) {
    EXPECT_EQ(valid_utf8_prefix(std::string("ok") + bad), 2u);
  }
  EXPECT_EQ(valid_utf8_prefix("ok \u00e9 \u65e5 \U0001f44d"), 14u);
}

TEST(Utf8, AnIllFormedPartIsRepairedOnce) {
  std::string repaired;
  append_repaired_utf8(repaired, "a\xE6\x97\xC3(\xF4\x90");
  EXPECT_EQ(repaired, "a\uFFFD\uFFFD(\uFFFD\uFFFD");
}

}  // namespace
}  // namespace ashlar
