// Every family of decoders against transformers: logits, loss, greedy text, the paged cache, the
// gradient of every tensor; and back to files.
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "tests/base/temp_dir.h"
#include "tests/models/family_models.h"
#include "tests/models/model_run.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

namespace ashlar::testing {
namespace {

using nlohmann::json;

class FamilyGolden : public ::testing::TestWithParam<std::string> {
 protected:
  TempDir folder_;
  std::string path_ = make_family_model(GetParam(), folder_.path());
  bundle::Bundle model_ = bundle::Bundle::open(path_);
  json golden_ = read_json<json>(path_ + "/golden.json");

  void expect_greedy_text(const json& entry);
};

void expect_near(std::span<const float> found, const json& wanted, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], wanted[i].get<double>(), 1e-4) << what << ", logit " << i;
  }
}

std::vector<int32_t> numbers_from(int32_t first, size_t count) {
  std::vector<int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

TEST_P(FamilyGolden, LogitsAndLoss) {
  for (const json& entry : golden_.at("forward")) {
    const std::vector<int32_t> ids = entry.at("ids");
    const auto rows = static_cast<int64_t>(ids.size());
    const std::vector<float> logits = logits_of(model_, ids, rows);
    const size_t vocab = logits.size() / ids.size();
    expect_near(std::span(logits).last(vocab), entry.at("last_logits"), "last");
    double loss = 0;
    for (size_t t = 0; t + 1 < ids.size(); ++t) {
      const auto row = std::span(logits).subspan(t * vocab, vocab);
      const double most = *std::ranges::max_element(row);
      double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<double>(logit) - most);
      loss += std::log(sum) + most - static_cast<double>(row[static_cast<size_t>(ids[t + 1])]);
    }
    EXPECT_NEAR(loss / static_cast<double>(ids.size() - 1), entry.at("mean_loss").get<double>(),
                1e-5);
  }
}

// The prompt in two chunks, then a token at a time, over blocks that lie in no order.
void FamilyGolden::expect_greedy_text(const json& entry) {
  const models::RopeConfig& rope = model_.config().rope;
  const bool has_long = rope.scaling == models::RopeScaling::kLong;
  std::vector<int32_t> ids = entry.at("prompt_ids");
  const std::vector<int32_t> wanted = entry.at("greedy_ids");
  const size_t prompt = ids.size();
  const std::vector<int32_t> table = {5, 2, 7, 0};
  const models::ServingSpec spec{.blocks = 8, .table_width = std::ssize(table)};
  ModelRun run(models::build_serving(model_.config(), spec), model_,
               bindings(std::ssize(ids) + std::ssize(wanted), 1, 1));
  run.bind("block_table", table);
  std::vector<float> last;
  const auto feed = [&](size_t begin, size_t end) {
    const std::vector<int32_t> positions = numbers_from(static_cast<int32_t>(begin), end - begin);
    std::vector<int32_t> slots;
    for (const int32_t p : positions) {
      slots.push_back(table[static_cast<size_t>(p / 16)] * 16 + p % 16);
    }
    const auto count = static_cast<int32_t>(end - begin);
    run.bind("tokens", std::vector<int32_t>(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                            ids.begin() + static_cast<std::ptrdiff_t>(end)));
    run.bind("positions", positions);
    run.bind("row_start", std::vector<int32_t>{0, count});
    run.bind("context", std::vector<int32_t>{static_cast<int32_t>(end)});
    if (has_long) run.bind("lengths", std::vector<int32_t>{static_cast<int32_t>(ids.size())});
    run.bind("slots", slots);
    run.bind("output_rows", std::vector<int32_t>{count - 1});
    const graph::Operand logits = run.run(bindings(count, 1, 1), "logits");
    last.assign(logits.as<float>(), logits.as<float>() + logits.shape.elements());
  };
  feed(0, 9);
  feed(9, prompt);
  for (size_t i = 0; i < wanted.size(); ++i) {
    ids.push_back(static_cast<int32_t>(std::ranges::max_element(last) - last.begin()));
    ASSERT_EQ(ids.back(), wanted[i]) << "token " << i;
    const bool becomes_long = has_long && std::ssize(ids) == rope.original_max_positions + 1;
    feed(becomes_long ? 0 : ids.size() - 1, ids.size());
  }
}

TEST_P(FamilyGolden, GreedyTextThroughThePagedCache) {
  for (const json& entry : golden_.at("generate")) expect_greedy_text(entry);
}

TEST_P(FamilyGolden, LossAndGradientNorms) {
  const json& train = golden_.at("train");
  std::vector<int32_t> tokens, targets, positions, row_start = {0};
  for (size_t row = 0; row < train.at("input_ids").size(); ++row) {
    const std::vector<int32_t> inputs = train["input_ids"][row], wanted = train["target_ids"][row];
    const std::vector<int32_t> places = numbers_from(0, inputs.size());
    tokens.insert(tokens.end(), inputs.begin(), inputs.end());
    targets.insert(targets.end(), wanted.begin(), wanted.end());
    positions.insert(positions.end(), places.begin(), places.end());
    row_start.push_back(static_cast<int32_t>(tokens.size()));
  }
  graph::Graph graph = models::build_training(model_.config().without_dropout());
  const auto gradients = passes::differentiate(graph, graph.output("loss"));
  graph = passes::fuse(graph);
  const auto sizes = bindings(std::ssize(tokens), std::ssize(row_start) - 1, 0);
  ModelRun run(graph, model_, sizes);
  run.bind("tokens", tokens);
  run.bind("targets", targets);
  run.bind("positions", positions);
  run.bind("row_start", row_start);
  run.bind("loss_scale", std::vector<float>{1.0f / static_cast<float>(tokens.size())});
  EXPECT_NEAR(*run.run(sizes, "loss").as<double>(), train.at("cross_entropy").get<double>(), 1e-4);
  run.run_program("backward", sizes);

  std::map<std::string, double> found;
  double global = 0;
  for (const models::WeightRule& rule : models::weight_rules(model_.config())) {
    double squares = 0;
    for (const std::string& parameter : rule.parameters) {
      const graph::VariableId gradient = gradients.at(*graph.find_variable(parameter));
      Tensor values = run.store().at(graph.variable(gradient).name);
      if (rule.index) values = values.rows(*rule.index, *rule.index + 1);
      for (const float g : values.span<float>()) squares += static_cast<double>(g) * g;
    }
    found[rule.tensor] = std::sqrt(squares);
    global += squares;
  }
  EXPECT_EQ(found.size(), train.at("grad_norms").size());
  for (const auto& [name, wanted] : train.at("grad_norms").items()) {
    const double norm = wanted;
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_NEAR(found.at(name), norm, 1e-3 * norm + 1e-6 * std::sqrt(global)) << name;
  }
}

// What we save has the same tensors, bit for bit, under a config that says the same.
TEST_P(FamilyGolden, SavedAsItWasRead) {
  const models::DecoderConfig& config = model_.config();
  const bundle::Weights file = model_.open_weights();
  std::map<std::string, Tensor> parameters;
  const graph::Graph graph = models::build_logits(config);
  bundle::load_weights(
      file, config, graph, bundle::Storage::kOwn, path_,
      [&](const std::string& name, Tensor tensor) { parameters[name] = std::move(tensor); });
  const std::string path = folder_.path() + "/saved";
  bundle::save_bundle(path, config, [&](const std::string& name) { return parameters.at(name); },
                      {});

  const bundle::Bundle saved = bundle::Bundle::open(path);
  EXPECT_EQ(saved.config(), config);
  const bundle::Weights again = saved.open_weights();
  ASSERT_EQ(again.names(), file.names());
  for (const std::string& name : file.names()) {
    const Tensor wanted = file.tensor(name), found = again.tensor(name);
    ASSERT_EQ(found.shape(), wanted.shape()) << name;
    EXPECT_EQ(std::memcmp(found.data(), wanted.data(), wanted.bytes()), 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, ::testing::ValuesIn(family_models()),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace ashlar::testing
