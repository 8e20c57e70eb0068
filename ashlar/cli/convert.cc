#include "ashlar/bundle/convert.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/base/process_memory.h"
#include "ashlar/base/progress.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/embed/settings.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <string>

namespace ashlar::cli {
namespace {

// In whatever case.
bool has_extension(const std::string& path, std::string_view extension) {
  if (path.size() < extension.size()) return false;
  return std::ranges::equal(path.substr(path.size() - extension.size()), extension,
                            [](unsigned char a, char b) { return std::tolower(a) == b; });
}

struct Convert {
  static constexpr const char* kName = "convert";
  static constexpr const char* kHelp = "Write a model as GGUF or Hugging Face folder, quantised";
  static constexpr const char* kGroup = kModelGroup;
  std::string from, to, quant;
  MachineFlags machine;
  bool json = false;

  void add_flags(CLI::App& app) {
    app.add_option("SRC", from, "Model directory, GGUF file or name in the Hugging Face cache")
        ->required()
        ->option_text(" ");
    app.add_option("DST", to, "File to write (.gguf), or folder")->required()->option_text(" ");
    app.add_option("--quant", quant,
                   "Type of the weights (default: f32, f16 or bf16, as most of them are): " +
                       bundle::quant_mix_names())
        ->option_text("TYPE");
    machine.add_to(app);
    add_json_flag(app, json);
  }

  int run() {
    machine.resolve();
    const bool gguf = has_extension(to, ".gguf");
    for (const char* extension : {".safetensors", ".bin", ".json"}) {
      if (has_extension(to, extension)) {
        fail_usage("{}: name a new folder, or a file that ends in .gguf", to);
      }
    }
    const bundle::Bundle model = bundle::Bundle::open(from);
    const bundle::QuantMix& mix = quant.empty() ? bundle::plain_mix(bundle::plain_type(model))
                                                : bundle::find_quant_mix(quant);
    if (!gguf && is_block(mix.type)) {
      fail_usage("--quant {}: a Hugging Face folder holds f32, f16 or bf16; name a .gguf file",
                 mix.name);
    }
    ASHLAR_CHECK(gguf || is_directory(to) || !std::filesystem::exists(to),
                 "convert: {} is no folder; name a new folder, or a file that ends in .gguf", to);
    ASHLAR_CHECK(gguf || !is_directory(to) || list_directory(to).empty(),
                 "convert: {} is there already; name a new folder", to);
    std::error_code none;  // what is not there is nobody's source
    ASHLAR_CHECK(!std::filesystem::equivalent(model.path(), to, none),
                 "convert: {} would replace the model it is made from; name another file", to);
    const SteadyClock clock;
    const double start = clock.now();
    std::optional<Progress> bar;
    const InterruptFlag interrupted;
    const auto show = [&](int64_t done, int64_t total) {
      if (interrupted.raised())
        throw Error("convert: interrupted; nothing is written", kInterrupted);
      if (!bar) bar.emplace("converting", "byte", total, clock);
      bar->update(done);
    };
    ThreadPool pool(machine.threads, machine.pin);
    const int64_t bytes =
        gguf ? bundle::write_gguf_model(model, to, mix, pool, show, embed::settings_in_gguf(model))
             : bundle::write_folder_model(model, to, mix.type, show);
    if (bar) bar->finish();
    const double seconds = clock.now() - start;
    if (json) {
      print_result(json_line(nlohmann::ordered_json{{"file", to},
                                                    {"type", mix.name},
                                                    {"bytes", bytes},
                                                    {"seconds", seconds},
                                                    {"peak_bytes", peak_resident_bytes()}}));
    } else {
      print_result(fmt::format("{}: {} of weights as {}, in {}", to, human_bytes(double(bytes)),
                               mix.name, human_seconds(seconds)));
    }
    return 0;
  }
};

}  // namespace

void add_convert(CLI::App& app, Action& action) { add_verb<Convert>(app, action); }

}  // namespace ashlar::cli
