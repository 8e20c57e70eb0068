#include "ashlar/base/human.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/train/evaluate.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

struct Eval {
  static constexpr const char* kName = "eval";
  static constexpr const char* kHelp = "Measure a model's loss, perplexity and bits per byte";
  static constexpr const char* kGroup = kTrainGroup;
  train::EvaluateOptions options;
  MachineFlags machine;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", options.model,
                   "Model directory, GGUF file or name in the Hugging Face cache")
        ->required()
        ->option_text(" ");
    app.add_option("--data", options.data.train, "Text, JSONL or folder; may be given again")
        ->required()
        ->option_text("FILE");
    app.add_option("--seq", options.seq, "Tokens of a row (default: the context, at most 1024)")
        ->check(positive())
        ->option_text("N");
    app.add_option("--batch", options.batch, "Rows at once")->check(positive())->option_text("N=4");
    app.add_option("--max-batches", options.max_batches,
                   "At most so many, spread over the data (default: all)")
        ->check(positive())
        ->option_text("N");
    app.add_option("--dtype", options.dtype, "What to compute in: f32 or bf16")
        ->transform(compute_dtype())
        ->option_text("DTYPE=f32");
    add_json_flag(app, json);
    machine.add_to(app);
  }

  int run() {
    machine.resolve();
    options.threads = machine.threads;
    options.pin = machine.pin;
    options.tier = machine.tier;
    const train::Evaluation result = train::evaluate(options);
    if (json) {
      print_result(result.to_json());
      return 0;
    }
    std::string text = fmt::format("loss           {:.4f} nats a token\nperplexity     {:.3f}\n",
                                   result.loss, result.perplexity);
    if (result.bits_per_byte) {
      text += fmt::format("bits per byte  {:.4f}\n", *result.bits_per_byte);
    }
    text += fmt::format("tokens         {} in {} ({} tokens/s)", result.tokens,
                        human_seconds(result.seconds), human_count(result.tokens_per_s));
    print_result(text);
    return 0;
  }
};

}  // namespace

void add_eval(CLI::App& app, Action& action) { add_verb<Eval>(app, action); }

}  // namespace ashlar::cli
