// Progress of encoding on stderr: one line redrawn for a person at a terminal, a log line now and
// then for a file or a pipe. Nothing for what is done at once.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/data/encode_corpus.h"

#include <string>

namespace ashlar::data {

class ProgressBar {
 public:
  ProgressBar(std::string what, const Clock& clock, bool terminal);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(const EncodeProgress& progress);
  // "[######....]  61%  12.1 MB of 19.9 MB  3.1M tokens  4.8 MB/s  2s left"
  static std::string text(const EncodeProgress& progress, double seconds);

 private:
  std::string what_;
  const Clock& clock_;
  bool terminal_;
  double start_, shown_;
  bool drawn_ = false;
};

bool stderr_is_terminal();

}  // namespace ashlar::data
