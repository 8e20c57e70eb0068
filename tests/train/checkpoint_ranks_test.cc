// Checkpoints of many ranks: any layout reads what any other wrote; each rank reads only what it
// holds; what is missing, torn or does not fit is named.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/formats/manifest.h"
#include "ashlar/train/checkpoint_parts.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/moment_files.h"
#include "tests/base/child.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"
#include "tests/train/cut_ranks.h"
#include "tests/train/small_decoders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace ashlar::train::testing {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::read_tensors;
using ashlar::testing::same_bytes;
using ashlar::testing::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

models::DecoderConfig four_layers(models::DecoderConfig config) {
  config.layers = 4;
  return config;
}

class CheckpointRanks : public ::testing::Test {
 protected:
  std::string folder(const std::string& run, int64_t step = 3) const {
    return checkpoint_folder(dir_.path(run), step);
  }

  // What every rank of a layout finds in a checkpoint. Returns the bytes they read.
  int64_t load_all(const CutModel& model, const Cut& cut, const std::string& from) const {
    std::atomic<int64_t> bytes = 0;
    for (int rank = 0; rank < cut.ranks(); ++rank) {
      const graph::Graph own = model.graph(cut, rank);
      runtime::VariableStore store;
      const int64_t read = load_checkpoint(from, own, store);
      EXPECT_THAT(model.differences(own, store), IsEmpty()) << cut.name << ", rank " << rank;
      EXPECT_EQ(read, state_bytes(own)) << cut.name << ", rank " << rank;
      bytes += read;
    }
    return bytes;
  }

  TempDir dir_{ashlar::testing::quick_folder()};
};

class CheckpointFamilies : public CheckpointRanks,
                           public ::testing::WithParamInterface<models::DecoderConfig> {};

TEST_P(CheckpointFamilies, AnyLayoutReadsAnyLayout) {
  const CutModel model(four_layers(GetParam()));
  std::map<std::string, Tensor> single;
  for (const Cut& from : seven_cuts()) {
    make_directories(dir_.path(from.name));
    model.save(from, dir_.path(from.name), 3);
    EXPECT_EQ(find_checkpoint(dir_.path(from.name)), 3);
    EXPECT_EQ(list_directory(checkpoints_folder(dir_.path(from.name))).size(), 1u);
    EXPECT_FALSE(is_directory(folder(from.name) + "/parts"));
    // A plain Hugging Face folder, whoever wrote it.
    const auto tensors = read_tensors(folder(from.name));
    if (single.empty()) single = tensors;
    ASSERT_EQ(tensors.size(), single.size());
    for (const auto& [name, tensor] : single) {
      EXPECT_TRUE(same_bytes(tensors.at(name), tensor)) << from.name << ": " << name;
    }
    for (const Cut& to : seven_cuts()) {
      const int64_t bytes = load_all(model, to, folder(from.name));
      // Without replicas, what is read adds up to one copy.
      if (to.name == "ZeRO-3 on 8") {
        EXPECT_EQ(bytes, state_bytes(model.graph({"single"}, 0)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CheckpointFamilies,
                         ::testing::Values(small_llama(), small_gpt2(), small_mixtral()),
                         [](const auto& tested) { return tested.param.family; });

TEST_F(CheckpointRanks, EveryRankWritesItsShare) {
  const CutModel model(four_layers(small_llama()));
  make_directories(dir_.path("run"));
  model.save({"data 8", {.data = 8}}, dir_.path("run"), 3);
  int64_t weights = 0, largest = 0, moments = 0, most = 0, files = 0;
  const formats::Manifest manifest = formats::Manifest::read(folder("run"));
  for (const formats::FileRecord& record : manifest.files()) {
    if (record.name.starts_with("model-")) {
      ++files;
      weights += record.bytes;
      largest = std::max(largest, record.bytes);
    }
    if (record.name.starts_with("state/optimizer-")) {
      moments += record.bytes;
      most = std::max(most, record.bytes);
    }
  }
  EXPECT_EQ(files, 8);
  EXPECT_LT(largest, weights / 8 * 3 / 2);
  EXPECT_LT(most, moments / 8 * 3 / 2);
}

// The bytes of a checkpoint are a function of state and layout: not of who is quick.
TEST_F(CheckpointRanks, WrittenTwiceTheSame) {
  const CutModel model(four_layers(small_gpt2()));
  const Cut cut{"2x2x2", {.data = 2, .tensor = 2, .pipe = 2}, 1};
  for (const char* run : {"one", "two"}) {
    make_directories(dir_.path(run));
    model.save(cut, dir_.path(run), 3);
  }
  EXPECT_EQ(read_file(folder("one") + "/MANIFEST.json"),
            read_file(folder("two") + "/MANIFEST.json"));
}

TEST_F(CheckpointRanks, APlainModelIntoParts) {
  const CutModel model(four_layers(small_gpt2()));
  make_directories(dir_.path("run"));
  model.save({"single"}, dir_.path("run"), 3);
  remove_tree(folder("run") + "/state");
  remove_tree(folder("run") + "/MANIFEST.json");
  const Cut cut{"ZeRO-3 on 8", {.data = 8}, 3};
  for (int rank = 0; rank < 8; ++rank) {
    const graph::Graph own = model.graph(cut, rank);
    runtime::VariableStore store;
    load_parameters(bundle::Bundle::open(folder("run")), own, store);
    for (const std::string& name : model.differences(own, store)) {
      EXPECT_EQ(own.variable(*own.find_variable(name)).kind, graph::VariableKind::kOptimizer);
    }
  }
}

class BrokenCheckpoint : public CheckpointRanks {
 protected:
  BrokenCheckpoint() {
    make_directories(dir_.path("run"));
    model_.save(cut_, dir_.path("run"), 3);
  }
  std::string error(const Cut& cut, int rank) const {
    const graph::Graph own = model_.graph(cut, rank);
    return error_of([&] {
      runtime::VariableStore store;
      load_checkpoint(folder("run"), own, store);
    });
  }

  CutModel model_{four_layers(small_llama())};
  Cut cut_{"ZeRO-3 on 8", {.data = 8}, 3};
};

TEST_F(BrokenCheckpoint, ATornFileIsPassedOver) {
  const std::string file = folder("run") + "/state/optimizer-00005.safetensors";
  truncate_file(file, file_size(file) - 1);
  EXPECT_EQ(find_checkpoint(dir_.path("run")), std::nullopt);
  EXPECT_EQ(error_of([&] { formats::Manifest::read(folder("run")).verify(folder("run")); }),
            fmt::format("{}: torn: {} bytes, but MANIFEST.json says {}", file, file_size(file),
                        file_size(file) + 1));
}

TEST_F(BrokenCheckpoint, AMissingFileOrPartIsNamed) {
  const std::string index = folder("run") + "/" + kMomentsIndex;
  const std::string file = folder("run") + "/state/optimizer-00002.safetensors";
  const std::string kept = read_file(file);
  remove_tree(file);
  EXPECT_THAT(error({"single"}, 0), HasSubstr(file));
  EXPECT_EQ(error(cut_, 0), "(no error)");  // needs none of it
  write_file(file, kept);

  const auto whole = nlohmann::ordered_json::parse(read_file(index));
  auto broken = whole;
  auto& parts = broken["moments"]["embed.weight.m"]["parts"];
  parts[0]["file"] = "optimizer-00008.safetensors";
  write_file(index, broken.dump());
  EXPECT_EQ(error({"single"}, 0),
            folder("run") +
                "/state/optimizer-00008.safetensors: tensor 'embed.weight.m' is f32[4, 24], the "
                "run wants f32[5, 24]");
  parts.erase(0);
  write_file(index, broken.dump());
  EXPECT_EQ(error({"single"}, 0),
            index +
                ": tensor 'embed.weight.m' [37, 24]: its parts hold 3072 of the 3552 bytes of "
                "[0:37, 0:24]");
}

TEST_F(BrokenCheckpoint, AnotherShapeIsNamed) {
  models::DecoderConfig wider = four_layers(small_llama());
  wider.ffn = 28;
  const CutModel other(wider);
  const graph::Graph own = other.graph(cut_, 1);
  runtime::VariableStore store;
  EXPECT_THAT(error_of([&] { load_checkpoint(folder("run"), own, store); }),
              HasSubstr("tensor 'model.layers.0.mlp.gate_proj.weight' has shape [20, 24], "
                        "config.json wants [28, 24]"));
  MomentReader moments(folder("run"));
  int64_t bytes = 0;
  const graph::Variable& moment = own.variable(*own.find_variable("layers.0.mlp.gate.weight.m"));
  EXPECT_EQ(error_of([&] { moments.read(moment, bytes); }),
            folder("run") + "/" + kMomentsIndex +
                ": tensor 'layers.0.mlp.gate.weight.m' is [20, 24], the run wants f32[28, 24]");
}

TEST(CheckpointParts, WaitsForEveryRank) {
  const TempDir folder;
  for (const int rank : {1, 2}) {
    const std::string name = fmt::format("file-{}", rank);
    write_file(folder.path(name), "x");
    if (rank == 1) publish_part(folder.path(), rank, {formats::record_file(folder.path(), name)});
  }
  int pauses = 0;
  EXPECT_THAT(error_of([&] { await_parts(folder.path(), 3, [&] { return ++pauses < 5; }); }),
              HasSubstr("the part of rank 2 did not come in time"));
  EXPECT_EQ(pauses, 5);
  const auto files = await_parts(folder.path(), 3, [&] {
    publish_part(folder.path(), 2, {formats::record_file(folder.path(), "file-2")});
    return true;
  });
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[1].name, "file-2");
  EXPECT_THAT(list_directory(folder.path()), ElementsAre("file-1", "file-2"));
}

TEST(CheckpointParts, NamesTheRankThatFailed) {
  const TempDir folder;
  note_failure(folder.path(), 3, "cannot write a: no space");
  EXPECT_THAT(error_of([&] { await_parts(folder.path(), 4, [] { return true; }); }),
              HasSubstr("rank 3 could not write its part: cannot write a: no space"));
}

TEST(CheckpointParts, TellsTheDeadFromTheSlow) {
  const TempDir folder;
  int pauses = 0;
  const auto pause = [&] { return ++pauses < 3; };
  {
    const PartLock lock(folder.path(), 1);
    EXPECT_THAT(error_of([&] { await_parts(folder.path(), 2, pause); }),
                HasSubstr("the part of rank 1 did not come in time"));
    EXPECT_EQ(pauses, 3);
  }
  remove_tree(folder.path("parts"));
  pauses = 0;
  const auto end = ashlar::testing::run_in_child([&] {
    const PartLock lock(folder.path(), 1);
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_THAT(error_of([&] { await_parts(folder.path(), 2, pause); }),
              HasSubstr("rank 1 died while it wrote its part"));
  EXPECT_EQ(pauses, 0);
}

// A rank that cannot write: the job hears of it from that rank, rank 0 publishes nothing.
TEST_F(CheckpointRanks, ARankThatCannotWrite) {
  const CutModel model(four_layers(small_llama()));
  const Cut cut{"data 2", {.data = 2}};
  make_directories(dir_.path("run"));
  std::string errors[2];
  comm::run_ranks(2, [&](comm::Communicator& comm) {
    const graph::Graph own = model.graph(cut, comm.rank());
    const runtime::VariableStore held = model.store(own);
    CheckpointPlan plan = model.plan(dir_.path("run"));
    if (comm.rank() == 1) plan.sync_first = {dir_.path("gone")};
    CheckpointWriter writer(plan, {&own}, held, &comm);
    TrainerState state;
    state.step = 3;
    writer.save(state);
    errors[comm.rank()] = error_of([&] { writer.wait(); });
  });
  EXPECT_THAT(errors[1], HasSubstr(dir_.path("gone")));
  EXPECT_EQ(errors[0], fmt::format("checkpoint {}: rank 1 could not write its part: {}",
                                   folder("run"), errors[1]));
  EXPECT_THAT(list_directory(checkpoints_folder(dir_.path("run"))), IsEmpty());
}

TEST_F(CheckpointRanks, RefusesRanksThatDoNotFitTogether) {
  const CutModel model(four_layers(small_llama()));
  const Cut cut{"tensor 4", {.tensor = 4}};
  const auto error = [&](const std::function<int(int)>& as) {
    return error_of([&] {
      comm::run_ranks(2, [&](comm::Communicator& comm) {
        const graph::Graph own = model.graph(cut, as(comm.rank()));
        const runtime::VariableStore held = model.store(own);
        state_layout({&own}, held, &comm);
      });
    });
  };
  EXPECT_THAT(
      error([](int rank) { return rank; }),
      HasSubstr("variable 'embed.weight' [37, 24]: the ranks hold 456 of its 888 elements"));
}

}  // namespace
}  // namespace ashlar::train::testing
