#include "ashlar/cli/golden_encoder.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/cli/golden_section.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/kernels/table.h"

#include <fmt/format.h>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kTolerance = 1e-4;

void expect_vector(const std::string& what, std::span<const float> found, const Json& item,
                   Section& section) {
  const auto wanted = item.get<std::vector<double>>();
  ASHLAR_CHECK(wanted.size() == found.size(), "{} has {} numbers, the model {}", what,
               wanted.size(), found.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    section.expect_near(fmt::format("{} {}", what, i), double{found[i]}, wanted[i], kTolerance);
  }
}

void check_forward(embed::HiddenRunner& runner, const Json& item, Section& section) {
  embed::TokenizedText text{golden_ids(item.at("ids"))};
  if (item.contains("token_type_ids")) text.types = golden_ids(item["token_type_ids"]);
  ASHLAR_CHECK(text.types.empty() || text.types.size() == text.ids.size(),
               "{} token_type_ids of {} ids", text.types.size(), text.ids.size());
  const embed::TokenizedText* const one[] = {&text};
  const std::span<const float> rows = runner.run(one);
  if (item.contains("cls_hidden")) {
    const auto cls = embed::pool(embed::Pooling::kCls, rows, runner.width());
    expect_vector("cls_hidden", cls, item["cls_hidden"], section);
  }
  if (item.contains("mean_pooled_normalized")) {
    auto mean = embed::pool(embed::Pooling::kMean, rows, runner.width());
    embed::normalize(mean);
    expect_vector("mean_pooled_normalized", mean, item["mean_pooled_normalized"], section);
  }
}

}  // namespace

std::vector<SectionResult> run_encoder_golden(const ModelFlags& model,
                                              const MachineFlags& machine) {
  const bundle::Bundle bundle = bundle::Bundle::open(model.model);
  const std::string file = join_path(model.model, "golden.json");
  const auto golden = read_json<Json>(file);
  ThreadPool pool(machine.threads);
  embed::HiddenLimits limits;
  limits.tokens = bundle.encoder()->max_positions;
  embed::HiddenRunner runner(bundle, limits, model.dtype.value_or(DType::kF32),
                             kernels::kernel_table(machine.tier), pool);
  return {check_section(golden, file, "tokenizer",
                        [&](const Json& item, Section& section) {
                          check_tokenizer(bundle.load_tokenizer(), item, section);
                        }),
          check_section(golden, file, "forward", [&](const Json& item, Section& section) {
            check_forward(runner, item, section);
          })};
}

}  // namespace ashlar::cli
