// Model families, decoders and encoders: how each one's config.json becomes a DecoderConfig and
// back, and how its tensors' names map to our parameters. A new family is one file and one line in
// a table of family.cc.
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/models/hf_config.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::models {

// One tensor of a checkpoint. Our weights are [outputs, inputs]; it holds the parameters one after
// the other along dim 0, after transposing where `transpose` says that it is [inputs, outputs].
// With an index it is a part of one parameter: element `index` of its dim 0 (an expert's matrix).
// With groups, dim 0 is cut into that many: each has its share of every parameter's rows, one
// parameter after the other (q, k and v of each head). f32: written as that whatever the others
// are.
struct WeightRule {
  std::string tensor;
  std::vector<std::string> parameters;
  bool transpose = false;
  std::optional<int64_t> index = std::nullopt;
  int64_t groups = 1;
  // As GGUF files have it: rows of so many heads whose rotary channels lie in pairs; and what the
  // file's numbers are above the parameter's.
  int64_t paired_heads = 0;
  float added = 0;
  bool f32 = false;
};

// How a file calls what the parameters hold.
struct TensorNames {
  std::vector<WeightRule> rules;
  std::string_view prefix;  // what base-model checkpoints leave away from the names
  // Endings of names, and those that old files have in their place.
  std::vector<std::pair<std::string_view, std::string_view>> older;
  // Whether a tensor that is none of the weights belongs to the family's files.
  std::function<bool(std::string_view tensor)> is_buffer;
};

struct Family {
  std::string_view model_type;
  std::string_view architecture;  // of config.json's list
  // What base-model checkpoints leave away from the names: "transformer.".
  std::string_view prefix;
  // Tensors that files may hold besides the weights: buffers, recognised by how their names end.
  std::vector<std::string_view> buffers;
  // How the names of tensors begin (behind the prefix) that may be there besides the weights, those
  // of heads that no graph here has: poolers, classifiers.
  std::vector<std::string_view> others = {};
  // Endings of names, and those that some files have in their place.
  std::vector<std::pair<std::string_view, std::string_view>> older = {};

  // A new model's description but for its sizes.
  DecoderConfig (*blank)();
  DecoderConfig (*parse)(HfConfig& config);
  // The family's own keys of config.json, a JSON object.
  std::string (*write)(const DecoderConfig& config);
  // Covers every parameter of the decoder exactly once; one given in parts, in ascending order.
  std::vector<WeightRule> (*weights)(const DecoderConfig& config);
};

std::span<const Family> families();          // of decoders
std::span<const Family> encoder_families();  // of encoders
// Throws Error listing the known ones; `where` is the file that names it.
const Family& find_family(const std::string& model_type, const std::string& where = "model_type");

// A model to be trained from scratch, without dropout. Throws Error for sizes that do not go
// together.
DecoderConfig new_decoder(const std::string& model_type, const DecoderSizes& sizes);

// text: config.json's; where: its path. Throws Error naming file and key.
DecoderConfig parse_config(std::string_view text, const std::string& where);
// A config.json that transformers loads.
std::string write_config(const DecoderConfig& config);

std::vector<WeightRule> weight_rules(const DecoderConfig& config);
// A tensor that is none of the weights but belongs to the family's files: attention masks, rotary
// frequencies, the copy of a tied head.
bool is_known_buffer(const DecoderConfig& config, std::string_view tensor);
TensorNames tensor_names(const DecoderConfig& config);

}  // namespace ashlar::models
