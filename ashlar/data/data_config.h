// The keys under `data.`: what to learn from and how to lay it out.
#pragma once

#include "ashlar/data/encoded_piece.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar {
class ConfigBinder;
}

namespace ashlar::data {

enum class Packing : uint8_t {
  kAuto,       // documents of a source where some tokens do not count (answers), else stream
  kStream,     // one stream, cut every train.seq tokens
  kDocuments,  // whole documents, as many as fit
};

struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> valid;
  double valid_share = 0;
  std::string tokenizer;
  Packing packing = Packing::kAuto;
  std::optional<bool> isolate;
  std::vector<std::string> extensions;
  int64_t max_bytes = 0;
  BadUtf8 bad_utf8 = BadUtf8::kRefuse;
  std::string cache;

  void bind(ConfigBinder& b);
  // What ranges alone do not say. Throws UsageError.
  void validate() const;
};

}  // namespace ashlar::data
