#include "ashlar/schedule/generators.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace ashlar::schedule {
namespace {

struct Entry {
  const char* name;
  Schedule (*generate)(const Shape& shape);
};
constexpr Entry kGenerators[] = {
    {"gpipe", [](const Shape& s) { return gpipe(s.ranks, s.microbatches); }},
    {"1f1b", [](const Shape& s) { return one_f_one_b(s.ranks, s.microbatches); }},
    {"interleaved", [](const Shape& s) { return interleaved(s.ranks, s.microbatches, s.chunks); }},
    {"zb-h1", [](const Shape& s) { return zb_h1(s.ranks, s.microbatches); }},
    {"zb-h2", [](const Shape& s) { return zb_h2(s.ranks, s.microbatches); }},
    {"zb-v", [](const Shape& s) { return zb_v(s.ranks, s.microbatches); }},
    {"v-half", [](const Shape& s) { return v_half(s.ranks, s.microbatches); }},
    {"v-min", [](const Shape& s) { return v_min(s.ranks, s.microbatches); }},
    {"chimera", [](const Shape& s) { return chimera(s.ranks, s.microbatches); }},
    {"hanayo", [](const Shape& s) { return hanayo(s.ranks, s.microbatches, s.waves); }},
};

}  // namespace

std::string multiples_near(int count, int of) {
  const int below = count / of * of;
  return below == 0 ? fmt::format("{}", of) : fmt::format("{} or {}", below, below + of);
}

std::span<const std::string> generator_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Entry& entry : kGenerators) all.emplace_back(entry.name);
    return all;
  }();
  return names;
}

Schedule generate(std::string_view name, const Shape& shape) {
  ASHLAR_CHECK(shape.ranks > 0, "schedule {}: {} ranks, at least 1 is needed", name, shape.ranks);
  ASHLAR_CHECK(shape.microbatches > 0, "schedule {}: {} microbatches, at least 1 is needed", name,
               shape.microbatches);
  for (const Entry& entry : kGenerators) {
    if (entry.name == name) return entry.generate(shape);
  }
  const auto similar = nearest(name, generator_names());
  fail("schedule: there is no '{}'; {}", name,
       similar ? fmt::format("did you mean {}?", *similar)
               : fmt::format("there are {}", fmt::join(generator_names(), ", ")));
}

}  // namespace ashlar::schedule
