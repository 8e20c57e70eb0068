#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/base/progress.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/standard_input.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/kernels/table.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

// The lines of a file, without a last empty one.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  return lines;
}

// The texts of JSONL: on each line a string, or an object with the key "text".
std::vector<std::string> texts_of_jsonl(const std::string& content, const std::string& where) {
  std::vector<std::string> texts;
  int64_t number = 0;
  for (const std::string& line : lines_of(content)) {
    ++number;
    if (line.empty()) continue;
    const std::string place = fmt::format("{}, line {}", where, number);
    const auto json = parse_json<nlohmann::json>(line, place);
    const auto& text = json.is_object() && json.contains("text") ? json["text"] : json;
    ASHLAR_CHECK(text.is_string(), "{}: wanted a string, or an object with the string \"text\"",
                 place);
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

struct Embed {
  static constexpr const char* kName = "embed";
  static constexpr const char* kHelp = "Turn texts into vectors";
  static constexpr const char* kGroup = kServeGroup;
  std::string model, file, pooling;
  std::vector<std::string> texts;
  MachineFlags machine;
  DType dtype = DType::kF32;
  int64_t max_tokens = 0, dimensions = 0;
  std::optional<bool> normalize;
  bool plain = false, json = false, jsonl = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory, GGUF file or name in the Hugging Face cache")
        ->required()
        ->option_text(" ");
    app.add_option("TEXT", texts, "Texts to embed");
    app.add_option("--file,-f", file, "A file with a text on each line; - is standard input")
        ->excludes("TEXT")
        ->option_text("FILE");
    app.add_flag("--jsonl", jsonl,
                 "Lines of --file are JSON: a string, or an object with the key text (as they are "
                 "in a file that ends in .jsonl)");
    app.add_option("--pooling", pooling, "mean, cls, last, max, mean_sqrt or weighted_mean")
        ->check(one_of({"mean", "cls", "last", "max", "mean_sqrt", "weighted_mean"}))
        ->option_text("KIND=the model's");
    // Not bound to the variable itself, which CLI11 would set to false where no flag is given.
    app.add_flag_function(
        "--normalize,!--no-normalize", [this](int64_t given) { normalize = given > 0; },
        "Vectors of length 1, or as they are (default: the model's)");
    app.add_option("--max-tokens", max_tokens, "Cut texts to so many (default: the model's)")
        ->check(positive())
        ->option_text("N");
    app.add_option("--dimensions", dimensions, "Keep the first so many numbers of each vector")
        ->check(positive())
        ->option_text("N");
    app.add_option("--dtype", dtype, "What to compute in: f32 or bf16")
        ->transform(compute_dtype())
        ->option_text("DTYPE=f32");
    app.add_flag("--plain", plain, "Numbers with spaces between them, a line for each text");
    add_json_flag(app, json);
    machine.add_to(app);
    app.footer("Prints a JSON object for each text, a line each; --json: one object with all.");
  }

  int run() {
    machine.resolve();
    if (jsonl && file.empty()) fail_usage("--jsonl is for the lines of --file");
    if (!file.empty()) {
      const std::string content = file == "-" ? read_standard_input() : read_file(file);
      const std::string where = file == "-" ? "standard input" : file;
      texts =
          jsonl || file.ends_with(".jsonl") ? texts_of_jsonl(content, where) : lines_of(content);
      ASHLAR_CHECK(!texts.empty(), "embed: {} holds no text", where);
    }
    if (texts.empty()) fail_usage("embed: no text is given; wanted TEXT or --file");
    const bundle::Bundle bundle = bundle::Bundle::open(model);
    ThreadPool pool(machine.threads, machine.pin);
    embed::EmbedderOptions options;
    options.compute = dtype;
    if (!pooling.empty()) options.pooling = embed::pooling_named(pooling);
    options.normalize = normalize;
    options.max_tokens = max_tokens;
    embed::Embedder embedder(bundle, options, kernels::kernel_table(machine.tier), pool);
    ASHLAR_CHECK(dimensions <= embedder.dimensions(),
                 "--dimensions: {} asked for, the model has {}", dimensions, embedder.dimensions());
    print(embedder, vectors_of(embedder));
    return 0;
  }

  std::vector<std::vector<float>> vectors_of(embed::Embedder& embedder) {
    const SteadyClock clock;
    const double start = clock.now();
    std::vector<embed::TokenizedText> tokenized;
    int64_t cut = 0;
    for (const std::string& text : texts) {
      tokenized.push_back(embedder.encode(text));
      ASHLAR_CHECK(!tokenized.back().ids.empty(),
                   "embed: text {} of {} is empty, and this tokenizer puts no tokens around a text",
                   tokenized.size(), texts.size());
      cut += embedder.truncate(tokenized.back()) ? 1 : 0;
      tokens += static_cast<int64_t>(tokenized.back().ids.size());
    }
    if (cut > 0) {
      log::warn("embed event=cut texts={} of={} max_tokens={}", cut, texts.size(),
                embedder.max_tokens());
    }
    Progress progress("embedding", "text", static_cast<int64_t>(texts.size()), clock);
    auto vectors = embedder.embed(tokenized, [&](int64_t done) { progress.update(done); });
    progress.finish();
    seconds = clock.now() - start;
    if (dimensions == 0) return vectors;
    for (auto& vector : vectors) {
      embed::shorten(vector, dimensions, embedder.settings().normalize);
    }
    return vectors;
  }

  void print(const embed::Embedder& embedder,
             const std::vector<std::vector<float>>& vectors) const {
    if (json) {
      print_result(
          json_line(nlohmann::ordered_json{{"model", model},
                                           {"dimensions", vectors.front().size()},
                                           {"pooling", embed::name(embedder.settings().pooling)},
                                           {"normalized", embedder.settings().normalize},
                                           {"prompt_tokens", tokens},
                                           {"seconds", seconds},
                                           {"embeddings", vectors}}));
      return;
    }
    std::string lines;
    for (size_t i = 0; i < vectors.size(); ++i) {
      if (i > 0) lines += '\n';
      lines += plain ? fmt::format("{}", fmt::join(vectors[i], " "))
                     : nlohmann::ordered_json{{"index", i}, {"embedding", vectors[i]}}.dump();
    }
    print_result(lines);
  }

  int64_t tokens = 0;
  double seconds = 0;  // without loading
};

}  // namespace

void add_embed(CLI::App& app, Action& action) { add_verb<Embed>(app, action); }

}  // namespace ashlar::cli
