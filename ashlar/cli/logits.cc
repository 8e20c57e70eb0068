#include "ashlar/cli/text_model.h"
#include "ashlar/cli/token_ids.h"
#include "ashlar/cli/verbs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr size_t kShown = 10;  // for a person

// The most likely tokens, one a line.
std::string ranking(const std::vector<float>& logits, const TextModel& model) {
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
    const std::string token = model.has_tokenizer()
                                  ? nlohmann::json(model.tokenizer().decode({&id, 1}, false)).dump()
                                  : "";
    text += fmt::format("\n{:>8}  {:>10.4f}  {}", id, logits[static_cast<size_t>(id)], token);
  }
  return text;
}

struct LogitsVerb {
  static constexpr const char* kName = "logits";
  static constexpr const char* kHelp = "Compute the logits that follow token ids";
  static constexpr const char* kGroup = kModelGroup;
  ModelFlags model;
  MachineFlags machine;
  std::string ids;
  bool json = false;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("--ids", ids, "Token ids, as in 1,2,3")->required()->option_text("IDS");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    const std::vector<int32_t> tokens = parse_token_ids(ids, "--ids");
    TextModel opened(model, machine);
    check_token_ids(tokens, opened.bundle().config().vocab);
    const std::vector<float> logits = opened.logits(tokens);
    print_result(json ? nlohmann::json{{"logits", logits}}.dump() : ranking(logits, opened));
    return 0;
  }
};

}  // namespace

void add_logits(CLI::App& app, Action& action) { add_verb<LogitsVerb>(app, action); }

}  // namespace ashlar::cli
