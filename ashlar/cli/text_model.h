// A model opened to generate on this machine: its folder, tokenizer, threads and runner together,
// for the verbs that use one model on their own (run, chat, logits, verify, bench infer).
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/cli/verb.h"
#include "ashlar/generate/generator.h"
#include "ashlar/generate/open_model.h"

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ashlar::cli {

// --context, --dtype.
struct ModelFlags {
  std::string model;
  int64_t context = 0;
  std::optional<DType> dtype;  // none: the file's own

  void add_to(CLI::App& app);
};

class TextModel {
 public:
  // limits.context is taken from the flags; where they leave it open, it is the model's, or what a
  // cache of a few GB holds.
  TextModel(const ModelFlags& flags, const MachineFlags& machine,
            generate::RunnerLimits limits = {.tokens = 512, .seqs = 1, .outputs = 1},
            int64_t sequences = 1);
  // Of a model that is open already.
  TextModel(bundle::Bundle model, const ModelFlags& flags, const MachineFlags& machine,
            generate::RunnerLimits limits = {.tokens = 512, .seqs = 1, .outputs = 1},
            int64_t sequences = 1);

  const bundle::Bundle& bundle() const { return bundle_; }
  bool has_tokenizer() const { return tokenizer_.has_value(); }
  const text::Tokenizer& tokenizer() const;    // throws Error where the model has none
  DType dtype() const { return held_.dtype; }  // of most matrices
  DType compute_dtype() const { return held_.compute; }
  generate::ModelRunner& runner() { return *runner_; }
  generate::Generator& generator() { return generator_; }

  std::vector<int32_t> encode(const std::string& prompt, bool add_special_tokens) const;
  std::vector<int32_t> end_tokens() const;
  // Of the last position.
  std::vector<float> logits(std::span<const int32_t> ids);

 private:
  bundle::Bundle bundle_;
  // A large vocabulary takes as long as the weights do: both are read at once.
  std::future<std::optional<text::Tokenizer>> loading_tokenizer_;
  generate::HeldWeights held_;
  ThreadPool pool_;
  std::unique_ptr<generate::ModelRunner> runner_;
  std::optional<text::Tokenizer> tokenizer_;
  generate::Generator generator_;
};

}  // namespace ashlar::cli
