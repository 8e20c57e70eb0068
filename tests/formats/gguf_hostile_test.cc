// GGUF files that others may have made to harm: each rule of the format broken once.
#include "ashlar/formats/gguf.h"
#include "ashlar/formats/gguf_writer.h"
#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace ashlar::formats {
namespace {

using ashlar::testing::error_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// Builds a file piece by piece.
struct Bytes {
  std::string text;
  template <typename T>
  Bytes& number(T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& string(std::string_view value) {
    number<uint64_t>(value.size());
    text += value;
    return *this;
  }
  Bytes& head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    text = "GGUF";
    return number(version).number(tensors).number(keys);
  }
  Bytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type,
                uint64_t offset) {
    string(name).number(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  Bytes& data(size_t bytes) {
    text.resize((text.size() + 31) / 32 * 32 + bytes, '\0');
    return *this;
  }
};

GgufHeader parse(const std::string& text) {
  return parse_gguf_header(std::as_bytes(std::span(text)), "m.gguf");
}
std::string fault(const Bytes& bytes) {
  return error_of([&] { parse(bytes.text); });
}

TEST(GgufHostileTest, AFileThatIsRight) {
  const GgufHeader header =
      parse(Bytes().head(2, 0).tensor("b", {4}, 0, 32).tensor("a", {2, 3}, 0, 0).data(48).text);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[0].shape, (Shape{3, 2}));
}

TEST(GgufHostileTest, Heads) {
  EXPECT_EQ(error_of([] { parse("GGML...."); }),
            "gguf m.gguf: this is no GGUF file: it does not begin with 'GGUF'");
  EXPECT_THAT(error_of([] { parse("GGUF\3"); }), EndsWith("the file is cut short"));
  EXPECT_EQ(fault(Bytes().head(0, 0, 1)), "gguf m.gguf: version 1 is not known, wanted 2 or 3");
  EXPECT_EQ(fault(Bytes().head(0, 0, 0x03000000)),
            "gguf m.gguf: the file is big-endian; wanted little-endian");
  EXPECT_EQ(fault(Bytes().head(uint64_t{1} << 60, 0)),
            "gguf m.gguf: the header: 1152921504606846976 tensors do not fit into a file of 24 "
            "bytes");
  EXPECT_THAT(fault(Bytes().head(0, UINT64_MAX)),
              HasSubstr("18446744073709551615 keys do not fit"));
}

TEST(GgufHostileTest, Metadata) {
  EXPECT_EQ(fault(Bytes().head(0, 1).string("k").number<uint32_t>(13)),
            "gguf m.gguf: key 'k': type 13 is not known");
  EXPECT_THAT(fault(Bytes().head(0, 1).number<uint64_t>(UINT64_MAX).data(64)),
              HasSubstr("18446744073709551615 bytes do not fit"));
  const auto array = [](uint32_t kind, uint64_t count) {
    return Bytes().head(0, 1).string("k").number<uint32_t>(9).number(kind).number(count).data(64);
  };
  EXPECT_THAT(fault(array(4, uint64_t{1} << 62)), HasSubstr("key 'k': 4611686018427387904 elem"));
  EXPECT_THAT(fault(array(8, 1000)), HasSubstr("key 'k': 1000 elements do not fit"));
  EXPECT_EQ(fault(array(9, 1)), "gguf m.gguf: key 'k': arrays of arrays are not supported");
  EXPECT_EQ(fault(Bytes().head(0, 1).string("k").number<uint32_t>(7).number<uint8_t>(2)),
            "gguf m.gguf: key 'k': 2 is no bool");
  EXPECT_EQ(fault(Bytes()
                      .head(0, 2)
                      .string("k")
                      .number<uint32_t>(4)
                      .number<uint32_t>(1)
                      .string("k")
                      .number<uint32_t>(4)
                      .number<uint32_t>(1)),
            "gguf m.gguf: key 'k' appears twice");
  EXPECT_THAT(fault(Bytes().head(0, 1).string("").number<uint32_t>(4).data(64)),
              EndsWith("a key is empty"));
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 31}) {
    EXPECT_EQ(
        fault(Bytes().head(0, 1).string("general.alignment").number<uint32_t>(4).number(alignment)),
        fmt::format("gguf m.gguf: general.alignment is {}, wanted a power of two", alignment));
  }
}

TEST(GgufHostileTest, Tensors) {
  const auto one = [](std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    return fault(Bytes().head(1, 0).tensor("t", dims, type, offset).data(64));
  };
  EXPECT_EQ(one({16}, 0, 0), "(no error)");
  EXPECT_EQ(one({17}, 0, 0),
            "gguf m.gguf: tensor 't' needs 68 bytes from byte 64 on, the file has 128");
  EXPECT_THAT(one({16}, 0, 32), HasSubstr("needs 64 bytes from byte 96 on"));
  EXPECT_THAT(one({1}, 0, uint64_t{1} << 63), HasSubstr("needs 4 bytes"));
  EXPECT_EQ(one({1}, 0, 16),
            "gguf m.gguf: tensor 't' lies at byte 16 of the data, which is no multiple of the "
            "alignment 32");
  EXPECT_THAT(one({0}, 0, 0), HasSubstr("has a dim of 0, which is empty or too large"));
  EXPECT_THAT(one({uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0), HasSubstr("too large"));
  EXPECT_THAT(one({UINT64_MAX}, 0, 0), HasSubstr("too large"));
  EXPECT_THAT(one({1, 1, 1, 1, 1}, 0, 0), HasSubstr("has 5 dims, at most 4 are allowed"));
  EXPECT_EQ(one({16, 2}, 8, 0),
            "gguf m.gguf: tensor 't' has rows of 16, which are no whole blocks of q8_0");
  EXPECT_EQ(one({256}, 17, 0),
            "gguf m.gguf: tensor 't' is IQ2_XS, which this version cannot read; convert the model "
            "to another type");
  EXPECT_EQ(one({256}, 99, 0), "gguf m.gguf: tensor 't' has type 99, which is not known");
  EXPECT_EQ(fault(Bytes().head(2, 0).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32).data(64)),
            "gguf m.gguf: tensor 't' appears twice");
  EXPECT_EQ(fault(Bytes().head(2, 0).tensor("t", {16}, 0, 0).tensor("u", {4}, 0, 32).data(64)),
            "gguf m.gguf: tensor 'u' overlaps another");
  // One whose type was changed to a smaller one leaves a hole, and would be read wrongly.
  EXPECT_EQ(fault(Bytes().head(2, 0).tensor("t", {64}, 1, 0).tensor("u", {4}, 0, 256).data(272)),
            "gguf m.gguf: tensor 'u' lies at byte 256 of the data, wanted 128: a hole that belongs "
            "to no tensor");
  EXPECT_EQ(fault(Bytes().head(1, 0).tensor("t", {4}, 0, 32).data(64)),
            "gguf m.gguf: tensor 't' lies at byte 32 of the data, wanted 0: a hole that belongs to "
            "no tensor");
}

// Every proper prefix of a file is refused, and no byte of the head changed makes it crash.
TEST(GgufHostileTest, CutAndFlippedFiles) {
  GgufMetadata meta;
  meta.set("general.architecture", "llama");
  meta.set_texts("tokens", {"a", "bc", ""});
  meta.set_f32s("scores", {1, 2, 3});
  const std::vector<TensorSpec> tensors = {{"w", DType::kQ8_0, {2, 32}}, {"n", DType::kF32, {3}}};
  const std::string head = format_gguf_header(meta, tensors);
  const std::string whole = head + std::string(96 + 12, '\0');
  EXPECT_EQ(parse(whole).tensors.size(), 2u);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(error_of([&] { parse(whole.substr(0, size)); }), "(no error)") << size;
  }
  for (size_t at = 0; at < head.size(); ++at) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      error_of([&] { parse(changed); });
    }
  }
}

}  // namespace
}  // namespace ashlar::formats
