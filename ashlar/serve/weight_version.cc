#include "ashlar/serve/weight_version.h"

#include "ashlar/base/checksum.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace ashlar::serve {
namespace {

constexpr int64_t kPiece = int64_t{1} << 24;  // bytes hashed as one task

// Of pieces at fixed places, so that one large tensor is shared out among the threads.
uint64_t hash_of(const Tensor& tensor, ThreadPool& pool) {
  const std::span<const std::byte> bytes(tensor.data(), tensor.bytes());
  const auto total = static_cast<int64_t>(bytes.size());
  std::vector<uint64_t> pieces(static_cast<size_t>((total + kPiece - 1) / kPiece));
  pool.parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i, int) {
    const int64_t begin = i * kPiece;
    pieces[static_cast<size_t>(i)] = xxh64(bytes.subspan(
        static_cast<size_t>(begin), static_cast<size_t>(std::min(kPiece, total - begin))));
  });
  return xxh64(std::as_bytes(std::span(pieces)));
}

}  // namespace

std::string weight_version(const formats::TensorFile& weights, ThreadPool& pool,
                           const generate::OnLoading& on_loading) {
  std::vector<std::string> names = weights.names();
  std::ranges::sort(names);
  std::string all;
  int64_t done = 0;
  for (const std::string& name : names) {
    if (on_loading) {
      on_loading("hashing weights",
                 static_cast<double>(done) / static_cast<double>(weights.data_bytes()));
    }
    const Tensor tensor = weights.tensor(name);
    all += fmt::format("{} {} {} {:016x}\n", name, ashlar::name(tensor.dtype()),
                       tensor.shape().str(), hash_of(tensor, pool));
    done += static_cast<int64_t>(tensor.bytes());
  }
  return fmt::format("{:016x}", xxh64(all));
}

}  // namespace ashlar::serve
