#include "ashlar/base/error.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/text_model.h"
#include "ashlar/cli/token_ids.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/data/tokenizer_encoder.h"
#include "ashlar/embed/hidden_runner.h"
#include "ashlar/kernels/table.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr size_t kShown = 10;  // for a person

// The most likely tokens, one a line.
std::string ranking(const std::vector<float>& logits, const text::Tokenizer* tokenizer) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t shown = std::min(kShown, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown), order.end(),
                    [&](int32_t a, int32_t b) {
                      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
                    });
  std::string text = fmt::format("{:>8}  {:>10}  token", "id", "logit");
  for (size_t i = 0; i < shown; ++i) {
    const int32_t id = order[i];
    const std::string token =
        tokenizer != nullptr ? nlohmann::json(tokenizer->decode({&id, 1}, false)).dump() : "";
    text += fmt::format("\n{:>8}  {:>10.4f}  {}", id, logits[static_cast<size_t>(id)], token);
  }
  return text;
}

struct LogitsVerb {
  static constexpr const char* kName = "logits";
  static constexpr const char* kHelp =
      "Compute the logits that follow token ids, or a hidden one's";
  static constexpr const char* kGroup = kModelGroup;
  ModelFlags model;
  MachineFlags machine;
  std::string ids;
  std::optional<int64_t> at;
  bool json = false;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("--ids", ids, "Token ids, as in 1,2,3")->required()->option_text("IDS");
    app.add_option("--at", at,
                   "Of an encoder: the place whose token is guessed, from 0 (default: the first "
                   "mask token's, else the last)")
        ->option_text("N");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    const std::vector<int32_t> tokens = parse_token_ids(ids, "--ids");
    bundle::Bundle bundle = bundle::Bundle::open(model.model);
    check_token_ids(tokens, bundle.description().vocab);
    if (bundle.encoder() != nullptr) {
      std::optional<text::Tokenizer> tokenizer;
      if (bundle.has_tokenizer()) tokenizer.emplace(bundle.load_tokenizer());
      return show(masked_logits(bundle, tokens), tokenizer ? &*tokenizer : nullptr);
    }
    if (at)
      fail_usage("--at {}: {} is no encoder; its logits follow the last id", *at, model.model);
    TextModel opened(std::move(bundle), model, machine);
    return show(opened.logits(tokens), opened.has_tokenizer() ? &opened.tokenizer() : nullptr);
  }

 private:
  int show(const std::vector<float>& logits, const text::Tokenizer* tokenizer) const {
    print_result(json ? nlohmann::json{{"logits", logits}}.dump() : ranking(logits, tokenizer));
    return 0;
  }

  std::vector<float> masked_logits(const bundle::Bundle& bundle,
                                   const std::vector<int32_t>& tokens) const {
    ASHLAR_CHECK(
        bundle.gguf() == nullptr,
        "model {}: GGUF has no head that guesses an encoder's tokens; name the folder it was "
        "made from",
        bundle.path());
    const auto count = static_cast<int64_t>(tokens.size());
    const int64_t place = at.value_or(masked_place(bundle, tokens));
    if (place < 0 || place >= count) fail_usage("--at {}: the ids are {}", place, count);
    ThreadPool pool(machine.threads, machine.pin);
    embed::HiddenRunner runner(
        bundle, {.tokens = count, .seqs = 1}, model.dtype.value_or(DType::kF32),
        kernels::kernel_table(machine.tier), pool, nullptr, embed::Output::kLogits);
    const embed::TokenizedText text{tokens};
    const embed::TokenizedText* const one[] = {&text};
    const auto row = runner.run(one).subspan(static_cast<size_t>(place * runner.vocab()),
                                             static_cast<size_t>(runner.vocab()));
    return {row.begin(), row.end()};
  }

  static int64_t masked_place(const bundle::Bundle& bundle, const std::vector<int32_t>& tokens) {
    if (bundle.has_tokenizer()) {
      const data::TokenizerEncoder encoder(bundle.load_tokenizer(), bundle.chat_files(),
                                           bundle.path());
      const auto found = std::ranges::find(tokens, encoder.mask_token().value_or(-1));
      if (found != tokens.end()) return found - tokens.begin();
    }
    return std::ssize(tokens) - 1;
  }
};

}  // namespace

void add_logits(CLI::App& app, Action& action) { add_verb<LogitsVerb>(app, action); }

}  // namespace ashlar::cli
