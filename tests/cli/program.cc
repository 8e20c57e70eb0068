#include "tests/cli/program.h"

#include "ashlar/base/atomic_file.h"
#include "tests/base/paths.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ashlar::cli {

testing::ProgramResult ashlar(std::vector<std::string> arguments,
                              const testing::ProgramOptions& options) {
  arguments.insert(arguments.begin(), ashlar_binary());
  return testing::run_program(arguments, options);
}

Json ashlar_json(std::vector<std::string> arguments, int exit_code) {
  arguments.push_back("--json");
  const testing::ProgramResult result = ashlar(arguments);
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  const Json json = Json::parse(result.out, nullptr, false);
  EXPECT_TRUE(json.is_object()) << "stdout is not one JSON object: " << result.out;
  return json;
}

std::string complaint(const testing::ProgramResult& result, int exit_code) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.signal, 0) << "ended by a signal";
  EXPECT_EQ(result.out, "");
  std::string last = result.err;
  while (last.ends_with('\n')) last.pop_back();
  if (const size_t line = last.rfind('\n'); line != std::string::npos) last.erase(0, line + 1);
  EXPECT_TRUE(last.starts_with("ashlar: ")) << result.err;
  return last;
}

std::string fixture_model(const std::string& name) {
  return join_path(test_data(), fmt::format("models/{}", name));
}

Json golden(const std::string& model) {
  return Json::parse(read_file(fixture_model(model) + "/golden.json"));
}

std::string copy_model(const std::string& name, const testing::TempDir& folder) {
  const std::string copy = folder.path(name);
  std::filesystem::copy(fixture_model(name), copy, std::filesystem::copy_options::recursive);
  return copy;
}

std::string endless_model(const testing::TempDir& folder) {
  const std::string model = copy_model("llama", folder);
  Json config = Json::parse(read_file(model + "/config.json"));
  config["max_position_embeddings"] = 1 << 17;
  write_file(model + "/config.json", config.dump());
  return model;
}

std::string join_ids(const Json& ids) {
  std::string text;
  for (const Json& id : ids) {
    if (!text.empty()) text += ',';
    text += id.dump();
  }
  return text;
}

}  // namespace ashlar::cli
