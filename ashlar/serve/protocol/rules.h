// What a request is checked against: fixed bounds of the protocol and facts about the served model.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/json_value.h"

#include <cstddef>
#include <cstdint>

namespace ashlar::serve {

struct RequestRules {
  Sampling defaults;       // for what the request leaves open
  int64_t vocab_size = 0;  // token ids must be below it; 0: not checked here

  JsonLimits json;
  int64_t max_samples = 128;     // n
  int64_t max_choices = 2048;    // prompts x n
  size_t max_stops = 16;         // stop strings
  size_t max_stop_bytes = 1024;  // of each
  int64_t max_top_logprobs = 20;
  size_t max_logit_bias = 1024;
};

}  // namespace ashlar::serve
