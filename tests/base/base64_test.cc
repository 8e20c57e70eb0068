#include "ashlar/base/base64.h"

#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <utility>

namespace ashlar {
namespace {

// RFC 4648, section 10, and all bytes.
TEST(Base64, ThereAndBack) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(from_base64(to_base64(all)), all);
}

TEST(Base64, SaysWhatIsWrong) {
  EXPECT_EQ(testing::error_of([] { from_base64("Zm9"); }),
            "is not base64: its length is no multiple of 4");
  EXPECT_EQ(testing::error_of([] { from_base64("Zm9*"); }), "is not base64: it holds '*'");
}

}  // namespace
}  // namespace ashlar
