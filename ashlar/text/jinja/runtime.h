// What one rendering may use and has used: steps, bytes, nesting, the clock. Everything a template
// does is paid for here, so a hostile template ends in a Fault and not in a hang or a full memory.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <vector>

namespace ashlar::text::jinja {

struct Limits {
  int64_t max_steps = 10'000'000;          // expressions evaluated, items visited
  int64_t max_bytes = int64_t{256} << 20;  // of all values ever made in a rendering
  int64_t max_output = int64_t{64} << 20;
  int max_nesting = 400;        // of expressions, statements and macro calls while rendering
  int max_parse_nesting = 150;  // of the parsed tree
};

class Runtime {
 public:
  Runtime(const Limits& limits, std::function<std::tm()> now);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  void step(int64_t count = 1);
  // Before making `count` bytes of text or list: a Fault comes before the memory is taken.
  void pay_bytes(uint64_t count);
  void pay_items(uint64_t count) { pay_bytes(count * sizeof(Value)); }
  // For searching or copying text without keeping it.
  void pay_scan(uint64_t bytes) { step(1 + static_cast<int64_t>(bytes / 64)); }

  // Nested evaluations: enter() before, leave() after; see Nesting.
  void enter();
  void leave() { --nesting_; }

  // The next of the same 64-bit numbers in each rendering: what is drawn at random can be repeated.
  uint64_t draw();

  std::tm now() const { return now_(); }
  const Limits& limits() const { return limits_; }

  // Objects that may end up holding themselves; cleared when the rendering ends.
  void adopt(std::shared_ptr<Object> object);

 private:
  Limits limits_;
  std::function<std::tm()> now_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
  uint64_t draws_ = 0;
  int nesting_ = 0;
  std::vector<std::shared_ptr<Object>> adopted_;
};

class Nesting {
 public:
  explicit Nesting(Runtime& runtime) : runtime_(runtime) { runtime_.enter(); }
  ~Nesting() { runtime_.leave(); }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Runtime& runtime_;
};

}  // namespace ashlar::text::jinja
