// One line of JSON as an example to learn from:
//   {"text": "..."}                         every token counts
//   {"prompt": "...", "completion": "..."}  the completion counts; lists of messages may be given
//   too
//   {"messages": [{"role", "content"}]}     the assistant's answers count, as the template writes
//   them
// Whatever else the line holds is not looked at, except "tools" beside messages.
#pragma once

#include "ashlar/data/encoder.h"

#include <string>
#include <string_view>
#include <vector>

namespace ashlar::data {

struct Segment {
  std::string text;
  bool counted = true;  // in the loss
};

struct Example {
  std::vector<Segment> segments;
  bool framed = false;  // the chat template wrote the tokens that open and close it
};

// `where` is "file:line". Throws Error that starts with it. Mostly one example; a conversation
// whose template rewrites earlier turns (thoughts are dropped, say) becomes one for each answer, so
// that each is learnt after the very text that the model will see when it answers.
std::vector<Example> parse_example(std::string_view line, const Encoder& encoder,
                                   const std::string& where);

}  // namespace ashlar::data
