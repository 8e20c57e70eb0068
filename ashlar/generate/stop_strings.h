// Looks for stop strings in text that arrives in pieces. Text comes out once it is certain to stand
// before any of them; what may be the beginning of one is held back. The result does not depend on
// how the text was cut.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ashlar::generate {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops);

  // Takes the next piece; nothing more once found().
  std::string push(std::string_view piece);
  // The rest, when no more text comes.
  std::string finish();

  bool found() const { return found_; }  // the first to be complete; the text ends before it

 private:
  size_t length_ending_at(size_t end) const;
  size_t open_length() const;

  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace ashlar::generate
