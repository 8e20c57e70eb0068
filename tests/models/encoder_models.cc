#include "tests/models/encoder_models.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/passes/fuse.h"
#include "tests/base/paths.h"
#include "tests/graph/counter_values.h"
#include "tests/models/model_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace ashlar::testing {

using nlohmann::json;

json encoder_golden(const std::string& name) {
  return read_json<json>(test_data("encoders/" + name + ".json"));
}

Tensor counted_tensor(const std::string& name, const Shape& shape, float matrix_scale) {
  const bool norm = name.ends_with(".weight") && (name.find("norm") != std::string::npos ||
                                                  name.find("Norm") != std::string::npos ||
                                                  name.find("emb_ln") != std::string::npos);
  Tensor tensor(DType::kF32, shape);
  std::ranges::copy(graph::counter_values(name, tensor.elements(), norm ? 0.5f : matrix_scale,
                                          norm ? 1.0f : 0.0f),
                    tensor.as<float>());
  return tensor;
}

// Writes the golden's model, its tensors under the names that `rename` gives them.
void write_encoder_model(const std::string& folder, const json& golden, const Rename& rename) {
  write_file(join_path(folder, "config.json"), golden.at("config").dump());
  if (golden.contains("golden")) {
    write_file(join_path(folder, "golden.json"), golden.at("golden").dump());
  }
  std::vector<formats::TensorSpec> tensors;
  std::map<std::string, std::string> names;  // those of values, by those in the file
  for (const auto& [name, shape] : golden.at("tensors").items()) {
    tensors.push_back({rename(name), DType::kF32, Shape(std::vector<int64_t>(shape))});
    names[rename(name)] = name;
  }
  formats::write_safetensors_model(folder, tensors, [&](const formats::TensorSpec& spec) {
    return counted_tensor(names.at(spec.name), spec.shape, golden.at("matrix_scale"));
  });
}

void expect_encoder_golden(const bundle::Bundle& model, const json& golden) {
  const models::DecoderConfig& config = *model.encoder();
  const std::vector<int32_t> lengths = golden.at("lengths");
  std::vector<int32_t> tokens, types, positions, row_start = {0};
  for (size_t text = 0; text < lengths.size(); ++text) {
    const std::string number = std::to_string(text);
    const auto ids = graph::counter_ids("tokens" + number, lengths[text], 80);
    const auto kinds = graph::counter_ids("types" + number, lengths[text], golden.at("types"));
    for (int32_t i = 0; i < lengths[text]; ++i) {
      tokens.push_back(ids[static_cast<size_t>(i)] + 10);
      types.push_back(kinds[static_cast<size_t>(i)]);
      positions.push_back(i);
    }
    row_start.push_back(static_cast<int32_t>(tokens.size()));
  }
  const auto sizes = bindings(std::ssize(tokens), std::ssize(lengths), 0);
  ModelRun run(passes::fuse(models::build_hidden(config)), model, sizes);
  run.bind("tokens", tokens);
  run.bind("positions", positions);
  run.bind("row_start", row_start);
  if (config.token_types > 0) run.bind("token_types", types);
  const graph::Operand hidden = run.run(sizes, "hidden");
  const int64_t stride = golden.at("stride");
  int checked = 0;
  for (const json& row : golden.at("hidden")) {
    const float* const found = hidden.as<float>() + row.at("row").get<int64_t>() * config.width;
    int64_t channel = 0;
    for (const double wanted : row.at("values")) {
      ASSERT_NEAR(found[channel], wanted, 1e-4) << "row " << row.at("row") << ", " << channel;
      channel += stride;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 14 * 16);
}

}  // namespace ashlar::testing
