// Token sets made by hand: written as shards into a folder of the test's own.
#pragma once

#include "ashlar/data/token_set.h"
#include "tests/base/temp_dir.h"

#include <cstdint>
#include <vector>

namespace ashlar::data::testing {

struct Document {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> counted;  // empty: all
};

class TokenSets {
 public:
  static constexpr int32_t kEnd = 99;

  TokenSet make(const std::vector<Document>& documents, int64_t vocab = 1000);
  // Tokens 0, 1, 2, ... in documents of some length.
  TokenSet counting(int64_t tokens, int64_t document_tokens, int32_t first = 0);
  // Without a list of documents: bare uint16.
  TokenSet bare(const std::vector<uint16_t>& tokens);

 private:
  ashlar::testing::TempDir dir_{ashlar::testing::quick_folder()};
  int made_ = 0;
};

}  // namespace ashlar::data::testing
