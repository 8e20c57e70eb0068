#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/base/progress.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/standard_input.h"
#include "ashlar/cli/token_ids.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/data/document_reader.h"
#include "ashlar/data/source.h"
#include "ashlar/text/tokenizer.h"
#include "ashlar/text/training/bpe_trainer.h"
#include "ashlar/text/training/unigram_trainer.h"
#include "ashlar/text/training/word_piece_trainer.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::cli {
namespace {

std::string read_text(const std::string& file) {
  return file == "-" ? read_standard_input() : read_file(file);
}

struct Encode {
  static constexpr const char* kName = "encode";
  static constexpr const char* kHelp = "Turn text into token ids";
  static constexpr const char* kGroup = "Subcommands";
  std::string model, file = "-";
  bool no_special = false, windows = false, json = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory, tokenizer.json or GGUF file")->required();
    app.add_option("--file,-f", file, "Text to encode (default: standard input)");
    app.add_flag("--no-special", no_special, "Without the tokens that open and close a text");
    app.add_flag("--windows", windows,
                 "What the tokenizer's truncation cuts off too: a line for each piece, which "
                 "overlap by its stride");
    add_json_flag(app, json);
  }

  int run() const {
    const text::Tokenizer tokenizer = bundle::open_tokenizer(
        model, windows ? bundle::LengthRules::kKeep : bundle::LengthRules::kDrop);
    const std::string text = read_text(file);
    if (!windows) {
      const std::vector<int32_t> ids = tokenizer.encode(text, !no_special);
      print_result(json ? nlohmann::json{{"ids", ids}}.dump()
                        : fmt::format("{}", fmt::join(ids, " ")));
      return 0;
    }
    std::vector<std::vector<int32_t>> all;
    std::vector<std::string> lines;
    for (const text::Encoding& window : tokenizer.encode_windows(text, !no_special)) {
      all.push_back(window.ids);
      lines.push_back(fmt::format("{}", fmt::join(window.ids, " ")));
    }
    print_result(json ? nlohmann::json{{"windows", all}}.dump()
                      : fmt::format("{}", fmt::join(lines, "\n")));
    return 0;
  }
};

struct Decode {
  static constexpr const char* kName = "decode";
  static constexpr const char* kHelp = "Turn token ids into text";
  static constexpr const char* kGroup = "Subcommands";
  std::string model, ids, file = "-";
  bool no_special = false, json = false;

  void add_flags(CLI::App& app) {
    app.add_option("MODEL", model, "Model directory, tokenizer.json or GGUF file")->required();
    app.add_option("--ids", ids, "Token ids, as in 1,2,3");
    app.add_option("--file,-f", file, "File of ids (default: standard input)")->excludes("--ids");
    app.add_flag("--no-special", no_special, "Leave special tokens out of the text");
    add_json_flag(app, json);
  }

  int run() const {
    const text::Tokenizer tokenizer = bundle::open_tokenizer(model);
    const std::vector<int32_t> tokens =
        ids.empty() ? parse_token_ids(read_text(file), file == "-" ? "standard input" : file)
                    : parse_token_ids(ids, "--ids");
    check_token_ids(tokens, tokenizer.vocab_size());
    const std::string text = tokenizer.decode(tokens, no_special);
    print_result(json ? nlohmann::json{{"text", text}}.dump() : text);
    return 0;
  }
};

struct Train {
  static constexpr const char* kName = "train";
  static constexpr const char* kHelp =
      "Learn a vocabulary from text: byte-level BPE, word pieces or Unigram";
  static constexpr const char* kGroup = "Subcommands";
  std::vector<std::string> data;
  std::string out = "tokenizer.json", begin;
  std::string kind = "bpe";
  std::vector<std::string> special, extensions;
  int32_t vocab_size = 8192;
  int64_t max_bytes = 0;
  bool json = false, cased = false;
  text::WordPattern pattern = text::WordPattern::kLlama3;

  void add_flags(CLI::App& app) {
    app.add_option("DATA", data, "Text files, JSONL files or folders")->required();
    app.add_option("--vocab-size", vocab_size, "Tokens to learn, bytes and special ones included")
        ->capture_default_str();
    app.add_option("--out,-o", out, "File to write, or a folder to put tokenizer.json into")
        ->capture_default_str();
    app.add_option("--kind", kind,
                   "bpe (of bytes), wordpiece (BERT's) or unigram (SentencePiece's)")
        ->check(one_of({"bpe", "wordpiece", "unigram"}))
        ->option_text("KIND=bpe");
    app.add_option("--special", special,
                   "Special tokens, ids from 0 in this order (default: <|endoftext|>; of word "
                   "pieces BERT's; of unigram <unk>, <s> and </s>)");
    app.add_flag("--cased", cased, "Word pieces keep case and accents");
    app.add_option("--begin", begin, "The special token to put before every text (default: none)");
    app.add_option("--pattern", pattern, "How words are cut: gpt2, llama3 or qwen2")
        ->type_name("NAME")
        ->transform(named_value({{"gpt2", static_cast<int64_t>(text::WordPattern::kGpt2)},
                                 {"llama3", static_cast<int64_t>(text::WordPattern::kLlama3)},
                                 {"qwen2", static_cast<int64_t>(text::WordPattern::kQwen2)}}))
        ->option_text("NAME=llama3");
    app.add_option("--extensions", extensions, "Files to take from folders, as in txt,md")
        ->delimiter(',');
    app.add_option("--max-bytes", max_bytes, "Read at most this much, as in 8M")
        ->transform(CLI::AsSizeValue(true))
        ->option_text("BYTES");
    add_json_flag(app, json);
  }

  std::vector<data::SourceFile> files() const {
    data::SourceOptions options;
    if (!extensions.empty()) options.extensions = extensions;
    options.max_bytes = max_bytes;
    std::vector<data::SourceFile> all;
    for (const std::string& path : data) {
      const auto listed = data::list_files({path, 0}, options);
      all.insert(all.end(), listed.begin(), listed.end());
    }
    return all;
  }

  // Options come from flags: what is wrong with them is a wrong command line.
  template <typename Trainer, typename Options>
  static Trainer trainer_of(const Options& options) {
    try {
      return Trainer(options);
    } catch (const Error& error) {
      fail_usage("{}", error.what());
    }
  }

  text::Tokenizer learn_bpe(data::DocumentReader& reader, const Clock& clock) const {
    text::BpeTrainOptions options;
    options.vocab_size = vocab_size;
    options.special_tokens = special.empty() ? std::vector<std::string>{"<|endoftext|>"} : special;
    options.begin_token = begin;
    options.pattern = pattern;
    auto trainer = trainer_of<text::BpeTrainer>(options);
    read_into(trainer, reader, clock);
    Progress learning("learning", "token", vocab_size, clock);
    text::Tokenizer tokenizer =
        trainer.train([&](const text::BpeTrainProgress& now) { learning.update(now.tokens); });
    learning.finish();
    return tokenizer;
  }

  text::Tokenizer learn_word_pieces(data::DocumentReader& reader, const Clock& clock) const {
    text::WordPieceTrainOptions options;
    options.vocab_size = vocab_size;
    options.lower_case = !cased;
    if (!special.empty()) options.special_tokens = special;
    auto trainer = trainer_of<text::WordPieceTrainer>(options);
    read_into(trainer, reader, clock);
    Progress learning("learning", "token", vocab_size, clock);
    text::Tokenizer tokenizer = trainer.train([&](int32_t tokens) { learning.update(tokens); });
    learning.finish();
    return tokenizer;
  }

  text::Tokenizer learn_unigram(data::DocumentReader& reader, const Clock& clock) const {
    text::UnigramTrainOptions options;
    options.vocab_size = vocab_size;
    if (!special.empty()) options.special_tokens = special;
    auto trainer = trainer_of<text::UnigramTrainer>(options);
    read_into(trainer, reader, clock);
    std::optional<Progress> learning;
    text::Tokenizer tokenizer = trainer.train([&](int64_t done, int64_t all) {
      if (!learning) learning.emplace("learning", "round", all, clock);
      learning->update(done);
    });
    if (learning) learning->finish();
    return tokenizer;
  }

  text::Tokenizer learn(data::DocumentReader& reader, const Clock& clock) const {
    if (kind == "wordpiece") return learn_word_pieces(reader, clock);
    return kind == "unigram" ? learn_unigram(reader, clock) : learn_bpe(reader, clock);
  }

  template <typename Trainer>
  static void read_into(Trainer& trainer, data::DocumentReader& reader, const Clock& clock) {
    Progress reading("reading", "byte", reader.bytes(), clock);
    while (true) {
      const auto& pieces = reader.next();
      if (pieces.empty()) break;
      for (const data::Piece& piece : pieces) trainer.feed(piece.text);
      reading.update(reader.bytes_done());
    }
    reading.finish();
  }

  int run() const {
    const std::string path = is_directory(out) ? join_path(out, "tokenizer.json") : out;
    const SteadyClock clock;
    const double start = clock.now();
    if (kind != "bpe" && !begin.empty()) {
      fail_usage("--begin is for --kind bpe; {}",
                 kind == "unigram" ? "texts of unigram begin with what you put there"
                                   : "word pieces are put between [CLS] and [SEP]");
    }
    if (kind != "wordpiece" && cased) {
      fail_usage("--cased is for --kind wordpiece; {} keeps case anyway", kind);
    }
    // Learning takes a while: what can't be written is said before.
    ASHLAR_CHECK(is_directory(parent_path(path)), "--out {}: there is no folder {}; make it first",
                 out, parent_path(path));
    const std::vector<data::SourceFile> sources = files();
    data::DocumentReader reader(sources, {});
    const text::Tokenizer tokenizer = learn(reader, clock);
    tokenizer.save(path);
    const double seconds = clock.now() - start;
    if (json) {
      print_result(json_line(nlohmann::ordered_json{{"file", path},
                                                    {"vocab_size", tokenizer.vocab_size()},
                                                    {"bytes", reader.bytes_done()},
                                                    {"seconds", seconds}}));
    } else {
      print_result(fmt::format("{}: {} tokens, learnt from {} in {}", path, tokenizer.vocab_size(),
                               human_bytes(double(reader.bytes_done())), human_seconds(seconds)));
    }
    return 0;
  }
};

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  CLI::App* const tokenize = app.add_subcommand("tokenize", "Train or use a tokenizer");
  tokenize->group(kTrainGroup);
  tokenize->require_subcommand(1);
  add_verb<Train>(*tokenize, action);
  add_verb<Encode>(*tokenize, action);
  add_verb<Decode>(*tokenize, action);
}

}  // namespace ashlar::cli
