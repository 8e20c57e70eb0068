// One section of a golden.json: counts its checks, and keeps what went wrong first or came nearest
// to it. With what the sections of decoders and encoders share.
#pragma once

#include "ashlar/cli/golden.h"
#include "ashlar/text/tokenizer.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ashlar::cli {

class Section {
 public:
  explicit Section(std::string name) { result_.name = std::move(name); }

  void expect(bool passed, const std::function<std::string()>& what);
  // |found - wanted| <= allowed; NaN fails.
  void expect_near(const std::string& what, double found, double wanted, double allowed);

  SectionResult finish();

 private:
  SectionResult result_;
  std::string first_failure_, worst_what_;
  double worst_ = -1;
};

SectionResult skipped_section(const std::string& name);

// Runs check on the section's items, one object or a list of them. What the model cannot do fails
// the section; JSON that is not as it should be throws Error naming `file`.
using CheckItem = std::function<void(const nlohmann::ordered_json& item, Section& section)>;
SectionResult check_section(const nlohmann::ordered_json& golden, const std::string& file,
                            const std::string& name, const CheckItem& check);

// As they stand there: a cast would make another token of an id that is too large.
std::vector<int32_t> golden_ids(const nlohmann::ordered_json& json);
std::string where_ids_differ(const std::vector<int32_t>& found, const std::vector<int32_t>& wanted);
std::string shortened(const std::string& text);

// The section "tokenizer".
void check_tokenizer(const text::Tokenizer& tokenizer, const nlohmann::ordered_json& item,
                     Section& section);

}  // namespace ashlar::cli
