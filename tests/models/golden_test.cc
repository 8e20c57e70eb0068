// The goldens transformers made in float32: logits, loss and greedy text, in one batch and through
// the paged cache in chunks.
#include "ashlar/base/json.h"
#include "tests/models/model_run.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numeric>

namespace ashlar::testing {
namespace {

using nlohmann::json;

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  bundle::Bundle model_ = bundle::Bundle::open(model_fixture(GetParam()));
  json golden_ = read_json<json>(model_fixture(GetParam()) + "/golden.json");
};

double max_difference(std::span<const float> found, const json& wanted) {
  EXPECT_EQ(found.size(), wanted.size());
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - wanted[i].get<double>());
    if (!(difference <= largest)) largest = difference;  // a NaN stays
    if (std::isnan(largest)) break;
  }
  return largest;
}

int32_t largest(std::span<const float> logits) {
  return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

TEST_P(Golden, LastLogits) {
  for (const json& entry : golden_.at("forward")) {
    const std::vector<float> logits = logits_of(model_, entry.at("ids"), 1);
    EXPECT_LT(max_difference(logits, entry.at("last_logits")), 1e-4);
  }
}

TEST_P(Golden, MeanLoss) {
  for (const json& entry : golden_.at("forward")) {
    std::vector<int32_t> ids = entry.at("ids");
    const std::vector<int32_t> targets(ids.begin() + 1, ids.end());
    ids.pop_back();
    const auto tokens = static_cast<int64_t>(ids.size());
    const graph::Bindings sizes = bindings(tokens, 1, 0);
    ModelRun run(models::build_evaluation(model_.config()), model_, sizes);
    std::vector<int32_t> positions(ids.size());
    std::iota(positions.begin(), positions.end(), 0);
    run.bind("tokens", ids);
    run.bind("positions", positions);
    run.bind("row_start", std::vector<int32_t>{0, static_cast<int32_t>(tokens)});
    run.bind("targets", targets);
    run.bind("loss_scale", std::vector<float>{1.0f / static_cast<float>(tokens)});
    EXPECT_NEAR(*run.run(sizes, "loss").as<double>(), entry.at("mean_loss").get<double>(), 1e-5);
  }
}

TEST_P(Golden, GreedyTokens) {
  for (const json& entry : golden_.at("generate")) {
    std::vector<int32_t> ids = entry.at("prompt_ids");
    const size_t prompt = ids.size();
    const std::vector<int32_t> wanted = entry.at("greedy_ids");
    while (ids.size() < prompt + wanted.size()) ids.push_back(largest(logits_of(model_, ids, 1)));
    EXPECT_EQ(std::vector<int32_t>(ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end()),
              wanted);
  }
}

// Chunks of 1, 17 and the rest, over blocks that lie in no order.
TEST_P(Golden, PagedCacheInChunks) {
  const json& entry = golden_.at("forward").at(0);
  const std::vector<int32_t> ids = entry.at("ids");
  const auto length = static_cast<int32_t>(ids.size());
  const std::vector<int32_t> table = {5, 2, 7, 0};
  models::ServingSpec spec;
  spec.blocks = 8;
  spec.table_width = static_cast<int64_t>(table.size());
  ModelRun run(models::build_serving(model_.config(), spec), model_, bindings(length, 1, 1));
  run.bind("block_table", table);
  std::vector<float> last;
  for (int32_t begin = 0; begin < length;) {
    const int32_t end = begin == 0 ? 1 : begin == 1 ? 18 : length;
    std::vector<int32_t> positions(static_cast<size_t>(end - begin));
    std::iota(positions.begin(), positions.end(), begin);
    std::vector<int32_t> slots;
    for (const int32_t p : positions)
      slots.push_back(table[static_cast<size_t>(p / 16)] * 16 + p % 16);
    run.bind("tokens", std::vector<int32_t>(ids.begin() + begin, ids.begin() + end));
    run.bind("positions", positions);
    run.bind("row_start", std::vector<int32_t>{0, end - begin});
    run.bind("context", std::vector<int32_t>{end});
    run.bind("slots", slots);
    run.bind("output_rows", std::vector<int32_t>{end - begin - 1});
    const graph::Operand logits = run.run(bindings(end - begin, 1, 1), "logits");
    last.assign(logits.as<float>(), logits.as<float>() + logits.shape.elements());
    begin = end;
  }
  EXPECT_LT(max_difference(last, entry.at("last_logits")), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         ::testing::Values("gpt2", "llama", "llama2", "mistral", "mixtral",
                                           "mixtral_window", "phi3", "qwen2", "qwen3", "qwen2_moe",
                                           "qwen2_moe_sparse", "qwen3_moe", "qwen3_moe_plain",
                                           "deepseek_v2", "deepseek_v2_lite", "deepseek_v3",
                                           "deepseek_v3_plain"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace ashlar::testing
