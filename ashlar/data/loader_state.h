// Where a loader stands, small enough for every checkpoint: how many rows were handed out since the
// start of training. The rest says what they were rows of, so that resuming on other data is an
// error and not another experiment.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ashlar::data {

struct LoaderState {
  int64_t rows = 0;   // handed out, over all epochs and ranks
  int64_t epoch = 0;  // rows / rows of the data, and the remainder: for people
  int64_t position = 0;
  uint64_t seed = 0;
  uint64_t data = 0;  // Dataset::fingerprint()

  std::string to_json() const;
  // `source` names the text in errors.
  static LoaderState from_json(std::string_view text, const std::string& source);
  bool operator==(const LoaderState&) const = default;
};

}  // namespace ashlar::data
