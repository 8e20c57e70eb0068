// `ashlar train` of a small model on a small text, in a folder of the test's own.
#pragma once

#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace ashlar::cli {

class TrainVerbTest : public ::testing::Test {
 protected:
  TrainVerbTest() {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "the quick brown fox jumps over the lazy dog\n";
    write_file(corpus(), text);
  }

  std::string corpus() const { return folder_.path("corpus.txt"); }
  std::string run_dir() const { return folder_.path("run"); }
  std::vector<std::string> command(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"train",
                                      fmt::format("data.train={}", corpus()),
                                      fmt::format("data.cache={}", folder_.path("cache")),
                                      fmt::format("data.tokenizer={}", fixture_model("llama")),
                                      "model.width=32",
                                      "model.layers=1",
                                      "model.heads=2",
                                      "train.seq=32",
                                      "train.batch=2",
                                      "train.steps=6",
                                      "valid.every=0",
                                      "run.peak_flops=1e11",
                                      fmt::format("run.dir={}", run_dir())};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<Json> metrics() const {
    std::vector<Json> lines;
    std::istringstream text(read_file(run_dir() + "/metrics.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  testing::TempDir folder_{testing::quick_folder()};
};

}  // namespace ashlar::cli
