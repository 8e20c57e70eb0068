#include "ashlar/serve/weight_version.h"

#include "ashlar/formats/safetensors.h"
#include "ashlar/formats/safetensors_writer.h"
#include "tests/base/temp_dir.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::serve {
namespace {

// Two tensors, one of more than a piece of hashing; `changed` is a byte of it that differs.
std::string version_of(const std::string& path, std::vector<std::string> names, int64_t changed,
                       int threads, int64_t shard_bytes = 1 << 30) {
  constexpr int64_t kLarge = (int64_t{1} << 22) + 1000;  // elements of 4 bytes
  std::vector<formats::TensorSpec> tensors;
  for (const std::string& name : names) {
    tensors.push_back({name, DType::kF32, name == "large" ? Shape{kLarge} : Shape{2, 3}});
  }
  const auto source = [&](const formats::TensorSpec& spec) {
    Tensor tensor(spec.dtype, spec.shape);
    if (changed >= 0 && spec.name == "large") tensor.data()[changed] = std::byte{1};
    return tensor;
  };
  make_directories(path);
  write_safetensors_model(path, tensors, source, {.max_shard_bytes = shard_bytes});
  ThreadPool pool(threads);
  return weight_version(formats::SafetensorsReader(path), pool);
}

TEST(WeightVersion, AnyByteOfAnyTensorCounts) {
  const testing::TempDir folder;
  const std::string first = version_of(folder.path("a"), {"large", "small"}, -1, 1);
  EXPECT_EQ(first.size(), 16u);
  constexpr int64_t kLast = ((int64_t{1} << 22) + 1000) * 4 - 1;
  for (const int64_t byte : {int64_t{0}, int64_t{5000}, int64_t{1} << 24, kLast}) {
    EXPECT_NE(version_of(folder.path(std::to_string(byte)), {"large", "small"}, byte, 2), first)
        << byte;
  }
  EXPECT_NE(version_of(folder.path("b"), {"large", "other"}, -1, 2), first) << "the names count";
}

TEST(WeightVersion, FilesOrderAndThreadsDoNot) {
  const testing::TempDir folder;
  const std::string first = version_of(folder.path("a"), {"large", "small"}, 7, 1);
  EXPECT_EQ(version_of(folder.path("b"), {"small", "large"}, 7, 2), first);
  EXPECT_EQ(version_of(folder.path("c"), {"large", "small"}, 7, 3, 1 << 20), first) << "shards";
}

}  // namespace
}  // namespace ashlar::serve
