#include "ashlar/cli/golden.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/cli/golden_encoder.h"
#include "ashlar/cli/golden_section.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/train/golden_train.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <utility>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kLogitTolerance = 1e-4, kLossTolerance = 1e-5;
constexpr int64_t kRows = 256;  // of logits, in one run of the model

class Golden {
 public:
  Golden(const ModelFlags& flags, const MachineFlags& machine)
      : flags_(flags),
        machine_(machine),
        model_(flags, machine, {.tokens = kRows, .seqs = 1, .outputs = kRows}),
        json_(read_json<Json>(bundle::beside_model(flags.model, "golden.json"))) {}

  std::vector<SectionResult> run() {
    return {section("tokenizer", &Golden::tokenizer), section("chat", &Golden::chat),
            section("forward", &Golden::forward), section("generate", &Golden::generate), train()};
  }

 private:
  using Check = void (Golden::*)(const Json& item, Section& section);

  SectionResult section(const std::string& name, Check check) {
    return check_section(json_, bundle::beside_model(flags_.model, "golden.json"), name,
                         [&](const Json& item, Section& part) { (this->*check)(item, part); });
  }

  void tokenizer(const Json& item, Section& section) {
    check_tokenizer(model_.tokenizer(), item, section);
  }

  void chat(const Json& item, Section& section) {
    const text::ChatFiles files = model_.bundle().chat_files();
    const bool tools = item.contains("tools") && !item["tools"].is_null();
    const text::ChatTemplateSource* const source = files.choose(tools);
    ASHLAR_CHECK(source != nullptr, "the model has no chat template");
    text::ChatRequest request;
    request.messages = text::jinja::parse_json(item.at("messages").dump(), "messages");
    if (tools) request.tools = text::jinja::parse_json(item["tools"].dump(), "tools");
    request.special_tokens = files.special_tokens;
    const auto wanted = item.at("prompt").get<std::string>();
    const std::string found =
        text::ChatTemplate::parse(source->source, source->where).render(request);
    section.expect(found == wanted, [&] {
      const auto at = static_cast<size_t>(std::ranges::mismatch(found, wanted).in1 - found.begin());
      return fmt::format("the prompt differs at byte {}: {} instead of {}", at,
                         shortened(found.substr(at)),
                         at < wanted.size() ? shortened(wanted.substr(at)) : "its end");
    });
  }

  void forward(const Json& item, Section& section) {
    const std::vector<int32_t> ids = golden_ids(item.at("ids"));
    double loss = 0;
    std::vector<float> last;
    for_each_row(ids, [&](size_t row, std::span<const float> logits) {
      if (row + 1 == ids.size()) {
        last.assign(logits.begin(), logits.end());
      } else {
        loss += cross_entropy(logits, ids[row + 1]);
      }
    });
    if (item.contains("last_logits")) {
      const auto wanted = item["last_logits"].get<std::vector<double>>();
      ASHLAR_CHECK(wanted.size() == last.size(), "{} logits where the model has {}", wanted.size(),
                   last.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        section.expect_near(fmt::format("logit {}", i), double{last[i]}, wanted[i],
                            kLogitTolerance);
      }
    }
    if (item.contains("mean_loss")) {
      section.expect_near("mean loss", loss / double(ids.size() - 1),
                          item["mean_loss"].get<double>(), kLossTolerance);
    }
  }

  void for_each_row(std::span<const int32_t> ids,
                    const std::function<void(size_t, std::span<const float>)>& use) {
    const auto total = static_cast<int64_t>(ids.size());
    ASHLAR_CHECK(total <= model_.runner().max_context(), "{} ids, the context has {}", total,
                 model_.runner().max_context());
    generate::KvPool pool(model_.runner().blocks());
    generate::BlockTable table(pool, {});
    ASHLAR_CHECK(table.grow(total), "the cache has no room for {} tokens", total);
    for (int64_t done = 0; done < total;) {
      const int64_t count = std::min(kRows, total - done);
      const generate::SequencePiece piece{
          ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count)), done, table.blocks(),
          count};
      const generate::Logits logits = model_.runner().run({&piece, 1});
      for (int64_t i = 0; i < count; ++i) use(static_cast<size_t>(done + i), logits.row(i));
      done += count;
    }
  }

  static double cross_entropy(std::span<const float> logits, int32_t target) {
    const double most = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit} - most);
    return std::log(sum) + most - double{logits[static_cast<size_t>(target)]};
  }

  void generate(const Json& item, Section& section) {
    const std::vector<int32_t> prompt = golden_ids(item.at("prompt_ids"));
    const std::vector<int32_t> wanted = golden_ids(item.at("greedy_ids"));
    generate::GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_new = static_cast<int64_t>(wanted.size());
    options.ignore_end_tokens = true;
    const std::vector<int32_t> found = model_.generator().generate(prompt, options).ids;
    section.expect(found == wanted, [&] { return where_ids_differ(found, wanted); });
  }

  SectionResult train() {
    ThreadPool pool(machine_.threads);
    std::optional<train::GoldenTrain> golden;
    SectionResult result;
    result.name = "train";
    try {
      golden = train::check_golden_train(flags_.model, pool, machine_.tier);
    } catch (const Error& error) {
      result.status = SectionResult::Status::kFailed;
      result.checks = result.failed = 1;
      result.detail = error.what();
      return result;
    }
    if (!golden || golden->checks.empty()) return skipped_section("train");
    result.checks = static_cast<int64_t>(golden->checks.size());
    result.failed = std::ranges::count_if(
        golden->checks, [](const train::GoldenCheck& check) { return !check.passed(); });
    result.status =
        result.failed > 0 ? SectionResult::Status::kFailed : SectionResult::Status::kPassed;
    if (const train::GoldenCheck* const worst = golden->worst()) {
      result.detail = fmt::format("worst: {}: {:.7g} instead of {:.7g}, {:.2g} allowed",
                                  worst->name, worst->found, worst->wanted, worst->allowed);
    }
    return result;
  }

  const ModelFlags& flags_;
  const MachineFlags& machine_;
  TextModel model_;
  Json json_;
};

}  // namespace

std::string_view name(SectionResult::Status status) {
  switch (status) {
    case SectionResult::Status::kPassed:
      return "passed";
    case SectionResult::Status::kFailed:
      return "FAILED";
    case SectionResult::Status::kSkipped:
      return "skipped";
  }
  return "";
}

std::vector<SectionResult> run_golden(const ModelFlags& model, const MachineFlags& machine) {
  if (bundle::Bundle::open(model.model).encoder() != nullptr) {
    return run_encoder_golden(model, machine);
  }
  return Golden(model, machine).run();
}

}  // namespace ashlar::cli
