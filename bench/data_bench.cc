// From text to batches: encoding the system's headers, making rows, the order of rows.
#include "ashlar/base/file.h"
#include "ashlar/data/dataset.h"
#include "ashlar/data/encode_corpus.h"
#include "ashlar/data/loader.h"
#include "ashlar/data/permutation.h"
#include "ashlar/data/tokenizer_encoder.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

namespace ashlar::data {
namespace {

constexpr int64_t kCorpusBytes = 8 << 20;
constexpr int64_t kSeq = 1024;

class ScratchFolder {
 public:
  ScratchFolder() { ASHLAR_CHECK(::mkdtemp(path_.data()) != nullptr, "cannot create {}", path_); }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "data-bench-XXXXXX").string();
};

TokenizerEncoder open_encoder() {
  return TokenizerEncoder::open("tests/fixtures/models/llama");  // run from the repository's root
}

// A million tokens of documents of 1 to 2 * mean tokens, every third of them masked.
TokenSet made_tokens(const std::string& folder, int64_t mean, bool masked) {
  ShardWriter writer(folder, {.vocab_size = 32000});
  const RandomStream random(1, "bench");
  std::vector<int32_t> tokens;
  std::vector<uint8_t> counted;
  const std::vector<int64_t> start = {0};
  for (uint64_t i = 0; writer.tokens() < 1000000; ++i) {
    tokens.resize(2 + random.below(i, static_cast<uint64_t>(2 * mean)));
    for (size_t t = 0; t < tokens.size(); ++t) tokens[t] = static_cast<int32_t>(t % 32000);
    counted.assign(masked ? tokens.size() : 0, i % 3 != 0);
    writer.append(tokens, counted, start, 0);
  }
  std::vector<TokenShard> shards;
  for (const ShardInfo& info : writer.finish()) {
    shards.push_back(TokenShard::open(join_path(folder, info.file)));
  }
  return {"bench", std::move(shards), 32000, 0};
}

void encode_headers(benchmark::State& state) {
  const TokenizerEncoder encoder = open_encoder();
  const auto files = list_files({kSystemHeaders}, header_options(kCorpusBytes));
  ThreadPool pool(static_cast<int>(state.range(0)));
  int64_t tokens = 0;
  for (auto _ : state) {
    const ScratchFolder folder;
    ShardWriter writer(folder.path(), {.vocab_size = encoder.vocab_size()});
    encode_corpus(files, encoder, {.bad_utf8 = BadUtf8::kReplace}, pool, writer);
    tokens = writer.tokens();
    writer.finish();
  }
  state.SetBytesProcessed(state.iterations() * kCorpusBytes);
  state.counters["tokens"] = static_cast<double>(tokens);
}
BENCHMARK(encode_headers)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// Making batches of 16 rows, in tokens a second: what the loader's thread can give a trainer.
void make_batches(benchmark::State& state, Packing packing, bool masked, bool isolate) {
  const ScratchFolder folder;
  std::vector<TokenSet> sources;
  sources.push_back(made_tokens(folder.path(), 300, masked));
  const Dataset data(std::move(sources), {}, packing, isolate, kSeq);
  const BatchMaker maker = data.shuffled({.batch = 16, .microbatch = 4}, 1);
  StepBatch step = maker.reserve();
  int64_t row = 0;
  for (auto _ : state) {
    maker.make(row, step);
    row += 16;
  }
  state.SetItemsProcessed(state.iterations() * 16 * kSeq);
}
BENCHMARK_CAPTURE(make_batches, stream, Packing::kStream, false, false);
BENCHMARK_CAPTURE(make_batches, stream_isolated, Packing::kStream, false, true);
BENCHMARK_CAPTURE(make_batches, documents_masked, Packing::kDocuments, true, true);

void permute(benchmark::State& state) {
  const Permutation shuffle(1, 0, state.range(0));
  int64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(shuffle(i++ % state.range(0)));
}
BENCHMARK(permute)->Arg(1000)->Arg(1 << 30)->Arg((1 << 30) + 1);

void pack_by_best_fit(benchmark::State& state) {
  const ScratchFolder folder;
  const TokenSet tokens = made_tokens(folder.path(), 300, true);
  double padding = 0;
  for (auto _ : state) padding = pack_documents(tokens, {.seq = kSeq})->report().padding;
  state.SetItemsProcessed(state.iterations() * tokens.documents());
  state.counters["padding_percent"] = padding * 100;
}
BENCHMARK(pack_by_best_fit)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ashlar::data
