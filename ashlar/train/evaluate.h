// Loss, perplexity and bits per byte of a model over text.
#pragma once

#include "ashlar/base/cpu.h"
#include "ashlar/data/data_config.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ashlar::train {

struct EvaluateOptions {
  std::string model;        // a Hugging Face directory
  data::DataConfig data;    // data.train names the text; data.tokenizer: empty for the model's own
  int64_t seq = 0;          // 0: the model's context, at most 1024
  int64_t batch = 4;        // rows at once
  int64_t max_batches = 0;  // 0: all of the text
  DType dtype = DType::kF32;
  int threads = 0;
  bool pin = false;  // each thread to a core of its own
  std::optional<IsaTier> tier;
};

struct Evaluation {
  double loss = 0;  // mean cross-entropy of the counted tokens, in nats
  double perplexity = 0;
  std::optional<double> bits_per_byte;  // none: where the bytes behind the tokens are not known,
                                        // not all tokens count, or the text was not read to its end
  int64_t tokens = 0, text_bytes = 0;
  double seconds = 0, tokens_per_s = 0;

  std::string to_json() const;
};

Evaluation evaluate(const EvaluateOptions& options);

}  // namespace ashlar::train
