#include "tests/graph/counter_values.h"

namespace ashlar::graph {
namespace {

uint64_t name_hash(std::string_view name) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace

uint64_t counter_bits(std::string_view name, uint64_t i) {
  uint64_t z = name_hash(name) + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::vector<float> counter_values(std::string_view name, int64_t n, float scale, float offset) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto steps = static_cast<int64_t>(counter_bits(name, i) >> 40) - (int64_t{1} << 23);
    const float product = static_cast<float>(steps) * 0x1p-23f * scale;
    values[i] = product + offset;
  }
  return values;
}

std::vector<int32_t> counter_ids(std::string_view name, int64_t n, int64_t below) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>((counter_bits(name, i) >> 33) % static_cast<uint64_t>(below));
  }
  return ids;
}

}  // namespace ashlar::graph
