// Encoding, decoding and training speed on one core. Text: the files named by ASHLAR_BENCH_TEXT
// (a colon between paths), or without it a C++-like text made here.
#include "ashlar/base/env.h"
#include "ashlar/base/mapped_file.h"
#include "ashlar/base/philox.h"
#include "ashlar/text/tokenizer.h"
#include "ashlar/text/training/bpe_trainer.h"

#include <benchmark/benchmark.h>

#include <sstream>

namespace ashlar::text {
namespace {

constexpr size_t kTextBytes = 10'000'000;

// Words drawn so that the k-th is about 1/k as frequent as the first, with signs of code between.
std::string made_text() {
  const RandomStream random(1, "bench text");
  const std::string_view signs[] = {" ", " ", " ", "(", ");\n  ", ", ", "::", " = ", ".\n", "\n\n"};
  std::string out;
  for (uint64_t i = 0; out.size() < kTextBytes; ++i) {
    const double uniform = random.uniform(4 * i);
    uint64_t word = static_cast<uint64_t>(std::pow(50'000.0, uniform));
    do out += static_cast<char>('a' + (word * 7 + word % 5) % 26);
    while ((word /= 7) > 0);
    out += signs[random.below(4 * i + 1, std::size(signs))];
  }
  return out;
}

const std::string& text() {
  static const std::string whole = [] {
    const auto paths = env("ASHLAR_BENCH_TEXT");
    if (!paths) return made_text();
    std::string out;
    std::istringstream list(*paths);
    for (std::string path; std::getline(list, path, ':');) {
      const MappedFile file(path);
      out.append(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    }
    return out;
  }();
  return whole;
}

Tokenizer train(int32_t vocab_size, WordPattern pattern) {
  BpeTrainOptions options;
  options.vocab_size = vocab_size;
  options.pattern = pattern;
  const std::string_view source = text();
  return train_bpe(options, {&source, 1});
}

void set_rate(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text().size()));
}

// Arguments: vocabulary size, pattern.
void encode(benchmark::State& state) {
  const Tokenizer tokenizer =
      train(static_cast<int32_t>(state.range(0)), static_cast<WordPattern>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(text(), false));
  set_rate(state);
}

// A tokenizer.json of the user's: ASHLAR_BENCH_TOKENIZER.
void encode_given(benchmark::State& state) {
  const auto path = env("ASHLAR_BENCH_TOKENIZER");
  if (!path) {
    state.SkipWithError("ASHLAR_BENCH_TOKENIZER names no tokenizer.json");
    return;
  }
  const Tokenizer tokenizer = Tokenizer::from_json_file(*path);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(text(), false));
  set_rate(state);
}

void decode(benchmark::State& state) {
  const Tokenizer tokenizer = train(8192, WordPattern::kLlama3);
  const auto ids = tokenizer.encode(text(), false);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids, false));
  set_rate(state);
}

void learn(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(train(8192, WordPattern::kLlama3));
  set_rate(state);
}

// One word of n bytes: the time per byte should grow like log n at most.
void encode_one_word(benchmark::State& state) {
  const Tokenizer tokenizer = train(8192, WordPattern::kLlama3);
  std::string word;
  for (const char c : text()) {
    if (c >= 'a' && c <= 'z') word += c;
    if (word.size() == static_cast<size_t>(state.range(0))) break;
  }
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(word, false));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(word.size()));
}

BENCHMARK(encode)
    ->ArgNames({"vocab", "pattern"})
    ->Args({8192, static_cast<int>(WordPattern::kGpt2)})
    ->Args({8192, static_cast<int>(WordPattern::kLlama3)})
    ->Args({50257, static_cast<int>(WordPattern::kGpt2)})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(encode_given)->Unit(benchmark::kMillisecond);
BENCHMARK(decode)->Unit(benchmark::kMillisecond);
BENCHMARK(learn)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(encode_one_word)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace ashlar::text
