// Files that break the rules of the format: each is refused with a message that says what is wrong.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/philox.h"
#include "ashlar/formats/safetensors.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/formats/safetensors_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::formats {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::raw_file;
using ashlar::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string open_error(const std::string& content) {
  const TempDir dir(ashlar::testing::quick_folder());
  const std::string path = dir.path("x.safetensors");
  FileWriter(path).write(content);
  std::string message = error_of([&] { SafetensorsReader reader(path); });
  const std::string start = "safetensors " + path + ": ";
  return message.starts_with(start) ? message.substr(start.size()) : "(not named) " + message;
}

// The error for one tensor of 8 bytes of data with these fields.
std::string tensor_error(const std::string& fields) {
  return open_error(raw_file("{\"a\":{" + fields + "}}", "12345678"));
}

std::string f32(const std::string& name, int64_t elements, int64_t begin, int64_t end) {
  return fmt::format(R"("{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})", name,
                     elements, begin, end);
}

TEST(SafetensorsHostileTest, TheHelperMakesGoodFiles) {
  const TempDir dir;
  write_file(dir.path("x"), raw_file("{" + f32("a", 2, 0, 8) + "}", "12345678"));
  EXPECT_EQ(SafetensorsReader(dir.path("x")).tensor("a").shape(), Shape({2}));
}

TEST(SafetensorsHostileTest, Lengths) {
  EXPECT_EQ(open_error(""), "0 bytes are too few for a header");
  EXPECT_EQ(open_error("1234567"), "7 bytes are too few for a header");
  EXPECT_EQ(open_error(raw_file(0, "", "")), "the header does not start with '{'");
  EXPECT_EQ(open_error(raw_file(3, "{}", "")),
            "a header of 3 bytes in a file of 10; is it truncated?");
  for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_EQ(open_error(raw_file(length, "{}", "")),
              fmt::format("a header of {} bytes, at most 100000000 are allowed; is this a "
                          "safetensors file?",
                          length));
  }
  EXPECT_EQ(open_error(raw_file("{" + f32("a", 2, 0, 8) + "}", "1234567")),
            "tensor 'a': data_offsets [0, 8] reach beyond the 7 bytes of data in the file; is it "
            "truncated?");
  EXPECT_EQ(open_error(raw_file("{" + f32("a", 2, 0, 8) + "}", "123456789")),
            "1 bytes of data follow the last tensor, which ends at 8");
  EXPECT_EQ(open_error(raw_file("{}", "x")),
            "1 bytes of data follow the last tensor, which ends at 0");
}

TEST(SafetensorsHostileTest, EveryTruncationIsRefused) {
  const std::string whole =
      raw_file("{" + f32("a", 1, 0, 4) + "," + f32("b", 2, 4, 12) + "}", "123456789012");
  EXPECT_THAT(open_error(whole), HasSubstr("(no error)"));
  for (size_t size = 0; size < whole.size(); ++size) {
    ASSERT_THAT(open_error(whole.substr(0, size)), ::testing::Not(HasSubstr("(no"))) << size;
  }
}

TEST(SafetensorsHostileTest, Cover) {
  const auto cover = [](const std::string& tensors) {
    return open_error(raw_file("{" + tensors + "}", std::string(16, 'x')));
  };
  EXPECT_EQ(cover(f32("a", 4, 0, 16) + "," + f32("b", 2, 8, 16)),
            "tensor 'b' at [8, 16] overlaps tensor 'a', which ends at 16");
  EXPECT_EQ(cover(f32("a", 4, 0, 16) + "," + f32("b", 4, 0, 16)),
            "tensor 'b' at [0, 16] overlaps tensor 'a', which ends at 16");
  EXPECT_EQ(cover(f32("a", 1, 0, 4) + "," + f32("b", 2, 8, 16)),
            "a hole in the data: no tensor covers bytes [4, 8) before 'b'");
  EXPECT_EQ(cover(f32("a", 3, 4, 16)),
            "a hole in the data: no tensor covers bytes [0, 4) before 'a'");
  EXPECT_EQ(cover(f32("a", 4, 0, 16) + "," + f32("b", 0, 16, 16)), "(not named) (no error)");
  EXPECT_EQ(cover(f32("a", 4, 0, 16) + "," + f32("b", 0, 8, 8)),
            "tensor 'b' at [8, 8] overlaps tensor 'a', which ends at 16");
}

TEST(SafetensorsHostileTest, Fields) {
  const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[2])",
                    offsets = R"("data_offsets":[0,8])";
  EXPECT_EQ(tensor_error(shape + "," + offsets), "tensor 'a': dtype is missing");
  EXPECT_EQ(tensor_error(dtype + "," + offsets), "tensor 'a': shape is missing");
  EXPECT_EQ(tensor_error(dtype + "," + shape), "tensor 'a': data_offsets is missing");
  EXPECT_EQ(tensor_error(""), "tensor 'a': dtype is missing");
  EXPECT_EQ(tensor_error(dtype + "," + dtype), "tensor 'a': field dtype appears twice");
  EXPECT_EQ(tensor_error(R"("stride":[1])"), "tensor 'a': unknown field 'stride'");
  EXPECT_EQ(tensor_error(R"("dtype":"F33",)" + shape + "," + offsets),
            "tensor 'a': dtype 'F33' is not one of F64, F32, BF16, F16, I64, I32, U32, I16, U16, "
            "I8, U8, BOOL");
  EXPECT_EQ(tensor_error(R"("dtype":7)"), "tensor 'a': dtype is a number, not a string");
  EXPECT_EQ(tensor_error(R"("dtype":["F32"])"), "tensor 'a': dtype is an array, not a string");
  EXPECT_EQ(tensor_error(R"("shape":2)"), "tensor 'a': shape is a number, not an array");
  EXPECT_EQ(tensor_error(R"("shape":null)"), "tensor 'a': shape is null, not an array");
  EXPECT_EQ(tensor_error(R"("shape":"2")"), "tensor 'a': shape is a string, not an array");
  EXPECT_EQ(tensor_error(R"("shape":{})"), "tensor 'a': shape is an object, not an array");
  EXPECT_EQ(tensor_error(R"("shape":["2"])"),
            "tensor 'a': shape holds a string, not a whole number");
  EXPECT_EQ(tensor_error(R"("shape":[[2]])"),
            "tensor 'a': shape holds an array, not a whole number");
  EXPECT_EQ(tensor_error(R"("shape":[true])"),
            "tensor 'a': shape holds a boolean, not a whole number");
  EXPECT_EQ(tensor_error(R"("shape":[1,1,1,1,1,1,1])"),
            "tensor 'a': shape has more than 6 numbers");
}

TEST(SafetensorsHostileTest, Sizes) {
  const auto sizes = [](const std::string& shape, const std::string& offsets) {
    return tensor_error(R"("dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[)" + offsets +
                        "]");
  };
  EXPECT_EQ(sizes("-2", "0,8"), "tensor 'a': shape holds the negative number -2");
  EXPECT_EQ(sizes("2.0", "0,8"),
            "tensor 'a': shape holds '2.0', which is not a whole number of 64 bits");
  EXPECT_EQ(
      sizes("18446744073709551616", "0,8"),
      "tensor 'a': shape holds '18446744073709551616', which is not a whole number of 64 bits");
  EXPECT_EQ(sizes("18446744073709551615", "0,8"),
            "tensor 'a': shape [18446744073709551615] of F32 overflows");
  // 2^62 elements of 4 bytes wrap to 0, 2^31 x 2^33 to 0, 3 x 6148914691236517206 to 2.
  EXPECT_EQ(sizes("4611686018427387904", "0,0"),
            "tensor 'a': shape [4611686018427387904] of F32 overflows");
  EXPECT_EQ(sizes("2147483648,8589934592", "0,0"),
            "tensor 'a': shape [2147483648, 8589934592] of F32 overflows");
  EXPECT_EQ(sizes("3,6148914691236517206", "0,8"),
            "tensor 'a': shape [3, 6148914691236517206] of F32 overflows");
  EXPECT_EQ(sizes("0,4611686018427387904,4611686018427387904", "0,0"),
            "tensor 'a': shape [0, 4611686018427387904, 4611686018427387904] of F32 overflows");
  EXPECT_EQ(sizes("3", "0,8"),
            "tensor 'a': data_offsets [0, 8] span 8 bytes, but shape [3] of F32 takes 12");
  EXPECT_EQ(sizes("", "0,8"),
            "tensor 'a': data_offsets [0, 8] span 8 bytes, but shape [] of F32 takes 4");
  EXPECT_EQ(sizes("2", "8,0"), "tensor 'a': data_offsets [8, 0] are reversed");
  EXPECT_EQ(sizes("2", "-8,0"), "tensor 'a': data_offsets holds the negative number -8");
  EXPECT_EQ(sizes("2", "0"), "tensor 'a': data_offsets has 1 numbers, not 2");
  EXPECT_EQ(sizes("2", "0,8,8"), "tensor 'a': data_offsets has 3 numbers, not 2");
  EXPECT_EQ(sizes("2", ""), "tensor 'a': data_offsets has 0 numbers, not 2");
  EXPECT_THAT(sizes("2", "18446744073709551608,18446744073709551616"), HasSubstr("whole number"));
  EXPECT_EQ(sizes("2", "18446744073709551600,18446744073709551608"),
            "tensor 'a': data_offsets [18446744073709551600, 18446744073709551608] reach beyond "
            "the 8 bytes of data in the file; is it truncated?");
}

TEST(SafetensorsHostileTest, Structure) {
  const auto header = [](std::string_view text) { return open_error(raw_file(text, "")); };
  EXPECT_EQ(header("[]"), "the header does not start with '{'");
  EXPECT_EQ(header(" {}"), "the header does not start with '{'");
  EXPECT_EQ(header("{} x"), "the header is not valid JSON in UTF-8 at byte 11");
  EXPECT_EQ(header("{}{}"), "the header is not valid JSON in UTF-8 at byte 10");
  EXPECT_THAT(header("{"), StartsWith("the header is not valid JSON"));
  EXPECT_THAT(header("{\"a\":{}"), StartsWith("tensor 'a': dtype is missing"));
  EXPECT_EQ(header("{\"a\":3}"), "'a' is a number, not an object");
  EXPECT_EQ(header("{\"a\":[]}"), "'a' is an array, not an object");
  EXPECT_EQ(header("{\"a\":\"b\"}"), "'a' is a string, not an object");
  EXPECT_EQ(header("{" + f32("a", 0, 0, 0) + "," + f32("a", 0, 0, 0) + "}"), "'a' appears twice");
  EXPECT_EQ(header(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' appears twice");
  EXPECT_EQ(header(R"({"__metadata__":{"k":"1","k":"2"}})"), "__metadata__: 'k' appears twice");
  EXPECT_EQ(header(R"({"__metadata__":{"k":1}})"), "__metadata__: 'k' is a number, not a string");
  EXPECT_EQ(header(R"({"__metadata__":{"k":{}}})"), "__metadata__: 'k' is an object, not a string");
  EXPECT_EQ(header(R"({"__metadata__":{"k":null}})"), "__metadata__: 'k' is null, not a string");
}

TEST(SafetensorsHostileTest, Text) {
  const auto header = [](std::string_view text) { return open_error(raw_file(text, "")); };
  EXPECT_EQ(header(std::string_view("{}\0", 3)), "the header holds a NUL byte");
  EXPECT_EQ(header(std::string_view("{\"a\0\":{}}", 9)), "the header holds a NUL byte");
  EXPECT_EQ(header(R"({"a\u0000b":{}})"), "the name 'a\\x00b' holds a NUL");
  EXPECT_EQ(header("{\"a\xff\":{}}"), "the header is not valid JSON in UTF-8 at byte 11");
  EXPECT_THAT(header("{\"\xc0\xaf\":{}}"), StartsWith("the header is not valid JSON"));  // overlong
  EXPECT_THAT(header(R"({"\ud800":{}})"), StartsWith("the header is not valid JSON"));
  EXPECT_EQ(header("{\"" + std::string(1000, 'n') + "\":{}}"),
            "tensor '" + std::string(80, 'n') + "...': dtype is missing");
  EXPECT_EQ(header("{\"a\\nb\":{}}"), "tensor 'a\\x0ab': dtype is missing");
}

TEST(SafetensorsHostileTest, DeepNesting) {
  std::string objects, arrays = "{\"a\":{\"shape\":";
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_EQ(open_error(raw_file(objects, "")), "tensor 'a': unknown field 'a'");
  arrays += std::string(100000, '[');
  EXPECT_EQ(open_error(raw_file(arrays, "")),
            "tensor 'a': shape holds an array, not a whole number");
}

// Random damage: whatever is accepted must be safe to read in full.
TEST(SafetensorsHostileTest, RandomDamage) {
  const std::string good =
      raw_file(R"({"__metadata__":{"format":"pt"},)" + f32("a", 2, 0, 8) + "," +
                   R"("bb":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]}})",
               "12345678901234567890");
  const TempDir dir(ashlar::testing::quick_folder());
  int accepted = 0;
  for (uint64_t round = 0; round < 3000; ++round) {
    const RandomStream random(1, "damage", round);
    std::string bad = good;
    for (uint64_t i = 0, edits = 1 + random.below(0, 4); i < edits; ++i) {
      const size_t at = random.below(10 + 3 * i, bad.size());
      const uint64_t kind = random.below(11 + 3 * i, 4);
      const auto byte = static_cast<char>(random.below(12 + 3 * i, 256));
      if (kind == 0) bad.erase(at, 1);
      if (kind == 1) bad.insert(at, 1, "0123456789[]{},:\""[byte & 15]);
      if (kind == 2) bad[at] = byte;
      if (kind == 3) bad[at] = static_cast<char>(bad[at] ^ (1 << (byte & 7)));
    }
    FileWriter(dir.path("x")).write(bad);
    try {
      const SafetensorsReader reader(dir.path("x"));
      ++accepted;
      for (const std::string& name : reader.names()) {
        const Tensor tensor = reader.tensor(name);
        uint64_t sum = 0;
        for (size_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<uint64_t>(tensor.data()[i]);
        EXPECT_LE(sum, 255 * tensor.bytes());
      }
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 10);  // damage to names, metadata and data is not the header's to see
  EXPECT_LT(accepted, 2500);
}

}  // namespace
}  // namespace ashlar::formats
