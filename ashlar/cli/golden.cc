#include "ashlar/cli/golden.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/embed/embedder.h"
#include "ashlar/kernels/table.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"
#include "ashlar/train/golden_train.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

// One section of a golden.json: counts its checks, and keeps what went wrong first or came nearest
// to it.
class Section {
 public:
  explicit Section(std::string name) { result_.name = std::move(name); }

  void expect(bool passed, const std::function<std::string()>& what);
  // |found - wanted| <= allowed; NaN fails.
  void expect_near(const std::string& what, double found, double wanted, double allowed);

  SectionResult finish();

 private:
  SectionResult result_;
  std::string first_failure_, worst_what_;
  double worst_ = -1;
};

void Section::expect(bool passed, const std::function<std::string()>& what) {
  ++result_.checks;
  if (passed) return;
  if (result_.failed++ == 0) first_failure_ = what();
}

void Section::expect_near(const std::string& what, double found, double wanted, double allowed) {
  const double difference = std::fabs(found - wanted);
  expect(difference <= allowed, [&] {
    return fmt::format("{}: {} instead of {}, {:.2g} apart, {:.2g} allowed", what, found, wanted,
                       difference, allowed);
  });
  if (difference > worst_) {
    worst_ = difference;
    worst_what_ = what;
  }
}

SectionResult Section::finish() {
  result_.status = result_.checks == 0  ? SectionResult::Status::kSkipped
                   : result_.failed > 0 ? SectionResult::Status::kFailed
                                        : SectionResult::Status::kPassed;
  result_.detail = result_.checks == 0   ? "the section is empty"
                   : result_.failed > 0  ? first_failure_
                   : worst_what_.empty() ? ""
                                         : fmt::format("worst: {:.2g} ({})", worst_, worst_what_);
  return result_;
}

SectionResult skipped_section(const std::string& name) {
  SectionResult result;
  result.name = name;
  result.detail = "not in golden.json";
  return result;
}

// Runs check on the section's items, one object or a list of them. What the model cannot do fails
// the section; JSON that is not as it should be throws Error naming `file`.
using CheckItem = std::function<void(const Json& item, Section& section)>;
SectionResult check_section(const Json& golden, const std::string& file, const std::string& name,
                            const CheckItem& check) {
  if (!golden.contains(name)) return skipped_section(name);
  const Json& part = golden[name];
  Section section(name);
  for (const Json& item : part.is_array() ? part : Json::array({part})) {
    try {
      check(item, section);
    } catch (const Json::exception& error) {
      fail("{}: section {}: {}", file, name, json_reason(error.what()));
    } catch (const Error& error) {  // the model cannot do what the section asks
      section.expect(false, [&] { return std::string(error.what()); });
    }
  }
  return section.finish();
}

// As they stand there: a cast would make another token of an id that is too large.
std::vector<int32_t> golden_ids(const Json& json) {
  std::vector<int32_t> ids;
  for (const auto id : json.get<std::vector<int64_t>>()) {
    ASHLAR_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), "{} is no token id", id);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::string where_ids_differ(const std::vector<int32_t>& found,
                             const std::vector<int32_t>& wanted) {
  const auto [a, b] = std::ranges::mismatch(found, wanted);
  const auto show = [](auto at, const auto& ids) {
    return at == ids.end() ? std::string("nothing") : fmt::format("{}", *at);
  };
  return fmt::format("id {} is {} instead of {}", a - found.begin(), show(a, found),
                     show(b, wanted));
}

std::string shortened(const std::string& text) {
  return Json(text.substr(0, 40)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void check_tokenizer(const text::Tokenizer& tokenizer, const Json& item, Section& section) {
  const auto text = item.at("text").get<std::string>();
  const auto compare = [&](const char* key, bool special) {
    if (!item.contains(key)) return;
    const std::vector<int32_t> wanted = golden_ids(item[key]);
    const std::vector<int32_t> found = tokenizer.encode(text, special);
    section.expect(found == wanted, [&] {
      return fmt::format("{} of {}: {}", key, shortened(text), where_ids_differ(found, wanted));
    });
  };
  compare("ids", true);
  compare("ids_no_special", false);
  if (!item.contains("decoded")) return;
  const auto wanted = item["decoded"].get<std::string>();
  const std::vector<int32_t> ids = golden_ids(item.at("ids_no_special"));
  const std::string found = tokenizer.decode(ids, false);
  section.expect(found == wanted, [&] {
    return fmt::format("decoded: {} instead of {}", shortened(found), shortened(wanted));
  });
}

SectionResult check_train(const ModelFlags& model, const MachineFlags& machine) {
  ThreadPool pool(machine.threads, machine.pin);
  std::optional<train::GoldenTrain> golden;
  SectionResult result;
  result.name = "train";
  try {
    golden = train::check_golden_train(model.model, pool, machine.tier);
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
    result.detail = fmt::format("worst: {}: {:.7g} instead of {:.7g}, {:.2g} allowed", worst->name,
                                worst->found, worst->wanted, worst->allowed);
  }
  return result;
}

// ---------------------------------------------------------------- encoders

constexpr double kVectorTolerance = 1e-4;  // of an encoder
constexpr int64_t kLongest = 8192;         // tokens of a text

void expect_vector(const std::string& what, std::span<const float> found, const Json& item,
                   Section& section) {
  const auto wanted = item.get<std::vector<double>>();
  ASHLAR_CHECK(wanted.size() == found.size(), "{} has {} numbers, the model {}", what,
               wanted.size(), found.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    section.expect_near(fmt::format("{} {}", what, i), double{found[i]}, wanted[i],
                        kVectorTolerance);
  }
}

// The rows of one text.
std::span<const float> rows_of(embed::HiddenRunner& runner, const Json& item) {
  embed::TokenizedText text{golden_ids(item.at("ids"))};
  if (item.contains("token_type_ids")) text.types = golden_ids(item["token_type_ids"]);
  ASHLAR_CHECK(text.types.empty() || text.types.size() == text.ids.size(),
               "{} token_type_ids of {} ids", text.types.size(), text.ids.size());
  const embed::TokenizedText* const one[] = {&text};
  return runner.run(one);
}

void check_vectors(embed::HiddenRunner& runner, const Json& item, Section& section) {
  const std::span<const float> rows = rows_of(runner, item);
  if (item.contains("cls_hidden")) {
    const auto cls = embed::pool(embed::Pooling::kCls, rows, runner.width());
    expect_vector("cls_hidden", cls, item["cls_hidden"], section);
  }
  if (item.contains("mean_pooled_normalized")) {
    auto mean = embed::pool(embed::Pooling::kMean, rows, runner.width());
    embed::normalize(mean);
    expect_vector("mean_pooled_normalized", mean, item["mean_pooled_normalized"], section);
  }
}

// What the head for masked tokens makes of one position.
void check_logits(embed::HiddenRunner& runner, const Json& item, Section& section) {
  const std::span<const float> rows = rows_of(runner, item);
  const auto vocab = static_cast<size_t>(runner.vocab());
  const auto position = item["logits"].at("position").get<size_t>();
  ASHLAR_CHECK(position < rows.size() / vocab, "logits of position {}, the text has {} tokens",
               position, rows.size() / vocab);
  expect_vector("logit", rows.subspan(position * vocab, vocab), item["logits"].at("values"),
                section);
}

std::vector<SectionResult> run_encoder_golden(const bundle::Bundle& bundle, const ModelFlags& model,
                                              const MachineFlags& machine) {
  const std::string file = join_path(model.model, "golden.json");
  const auto golden = read_json<Json>(file);
  ThreadPool pool(machine.threads, machine.pin);
  const auto runner = [&](embed::Output output) {
    return std::make_unique<embed::HiddenRunner>(
        bundle, embed::HiddenLimits{.tokens = std::min(bundle.encoder()->max_positions, kLongest)},
        model.dtype.value_or(DType::kF32), kernels::kernel_table(machine.tier), pool, nullptr,
        output);
  };
  const auto hidden = runner(embed::Output::kHidden);
  std::unique_ptr<embed::HiddenRunner> logits;  // made where it is asked for: files may lack a head
  return {check_section(golden, file, "tokenizer",
                        [&](const Json& item, Section& section) {
                          check_tokenizer(bundle.load_tokenizer(), item, section);
                        }),
          check_section(golden, file, "forward",
                        [&](const Json& item, Section& section) {
                          check_vectors(*hidden, item, section);
                          if (!item.contains("logits")) return;
                          if (logits == nullptr) logits = runner(embed::Output::kLogits);
                          check_logits(*logits, item, section);
                        }),
          check_train(model, machine)};
}

// ---------------------------------------------------------------- decoders

constexpr double kLogitTolerance = 1e-4, kLossTolerance = 1e-5;
constexpr int64_t kRows = 256;  // of logits, in one run of the model

class Golden {
 public:
  Golden(bundle::Bundle model, const ModelFlags& flags, const MachineFlags& machine)
      : flags_(flags),
        machine_(machine),
        model_(std::move(model), flags, machine, {.tokens = kRows, .seqs = 1, .outputs = kRows}),
        json_(read_json<Json>(bundle::beside_model(flags.model, "golden.json"))) {}

  std::vector<SectionResult> run() {
    return {section("tokenizer", &Golden::tokenizer), section("chat", &Golden::chat),
            section("forward", &Golden::forward), section("generate", &Golden::generate),
            check_train(flags_, machine_)};
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
          count, total};
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

std::vector<SectionResult> run_golden(bundle::Bundle opened, const ModelFlags& model,
                                      const MachineFlags& machine) {
  if (opened.encoder() != nullptr) return run_encoder_golden(opened, model, machine);
  return Golden(std::move(opened), model, machine).run();
}

}  // namespace ashlar::cli
