#include "ashlar/bundle/gguf_tokenizer.h"

#include "ashlar/base/base64.h"
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/base/utf8.h"
#include "ashlar/bundle/gguf_spaces.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using Json = nlohmann::ordered_json;

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kKinds = "tokenizer.ggml.token_type";

// Of tokenizer.ggml.token_type.
enum Kind : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

std::string lower_case(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return name;
}

Json bytes_step() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", false}};
}

Json steps_of(const PreTokenizerPatterns& pre) {
  Json steps = Json::array();
  for (const std::string_view pattern : pre.patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(bytes_step());
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

class Importer {
 public:
  explicit Importer(const GgufMetadata& metadata)
      : metadata_(metadata), tokens_(metadata.texts(kTokens)), kinds_(metadata.integers(kKinds)) {
    ASHLAR_CHECK(!tokens_.empty(), "{}: tokenizer.ggml.tokens is missing or empty",
                 metadata.where());
    ASHLAR_CHECK(kinds_.empty() || kinds_.size() == tokens_.size(),
                 "{}: {} has {} entries for {} tokens", metadata.where(), kKinds, kinds_.size(),
                 tokens_.size());
    ASHLAR_CHECK(kinds_.empty() || metadata.find(kKinds)->kind != formats::GgufKind::kBool,
                 "{}: {} is an array of bool, wanted an array of integers", metadata.where(),
                 kKinds);
    for (const char* key : {kTokens, kMerges}) {
      const std::vector<std::string>& texts = metadata.texts(key);
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t valid = valid_utf8_prefix(texts[i]);
        ASHLAR_CHECK(valid == texts[i].size(), "{}: {}[{}] is not UTF-8 at its byte {}",
                     metadata.where(), key, i, valid);
      }
    }
  }

  std::string json() {
    const std::string& model = metadata_.text(kModel);
    Json document{{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
                  {"added_tokens", nullptr},   {"normalizer", nullptr}, {"pre_tokenizer", nullptr},
                  {"post_processor", nullptr}, {"decoder", nullptr},    {"model", nullptr}};
    if (model == "gpt2") {
      byte_level(document);
    } else if (model == "gemma4") {
      lines_of_text(document);
    } else if (model == "llama") {
      sentence_piece(document);
    } else if (model == kWords || model == kChars) {
      plain_pieces(document, model == kChars);
    } else if (model == "bert") {
      word_piece(document);
    } else if (model == "t5") {
      unigram(document);
    } else {
      fail("{}: {} '{}' is not known; known are gpt2, gemma4, llama, bert, t5", metadata_.where(),
           kModel, model);
    }
    document["added_tokens"] = added_tokens();
    return document.dump(-1, ' ', false, Json::error_handler_t::strict);
  }

 private:
  int64_t kind(size_t id) const { return kinds_.empty() ? int64_t{kNormal} : kinds_[id]; }

  // How the vocabulary spells a token; only bert's differ from the file.
  const std::string& spelling(size_t id) const { return spelt_.empty() ? tokens_[id] : spelt_[id]; }

  Json vocabulary() const {
    Json vocab = Json::object();
    std::unordered_map<std::string_view, size_t> seen;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const auto [first, added] = seen.emplace(spelling(id), id);
      ASHLAR_CHECK(added, "{}: tokens {} and {} are both '{}'", metadata_.where(), first->second,
                   id, spelling(id));
    }
    // Pushed back, not looked up: an ordered object searches from its start.
    auto& members = vocab.get_ref<Json::object_t&>();
    members.reserve(tokens_.size());
    for (size_t id = 0; id < tokens_.size(); ++id) {
      members.push_back(Json::object_t::value_type(spelling(id), Json(id)));
    }
    return vocab;
  }

  // A model of SentencePiece's own, read as such metadata.
  bool is_sentencepiece() const { return metadata_.contains(kSpaceAsSuffix); }

  // Where a GGUF file does not say, by the models whose format it was first.
  std::optional<size_t> usual_id(const std::string& role) const {
    static const std::map<std::pair<std::string, std::string>, size_t> kUsual = {
        {{"llama", "unknown"}, 0}, {{"llama", "bos"}, 1},       {{"llama", "eos"}, 2},
        {{"t5", "eos"}, 1},        {{"t5", "unknown"}, 2},      {{"bert", "unknown"}, 100},
        {{"bert", "bos"}, 101},    {{"bert", "seperator"}, 102}};
    const auto found = kUsual.find({metadata_.text(kModel), role});
    if (is_sentencepiece() || found == kUsual.end()) return std::nullopt;
    return found->second < tokens_.size() ? std::optional(found->second) : std::nullopt;
  }

  std::optional<size_t> special(const std::string& role) const {
    const std::string key = "tokenizer.ggml." + role + "_token_id";
    if (!metadata_.contains(key)) return usual_id(role);
    const int64_t id = metadata_.integer(key);
    ASHLAR_CHECK(id >= 0 && id < static_cast<int64_t>(tokens_.size()),
                 "{}: {} is {}, there are {} tokens", metadata_.where(), key, id, tokens_.size());
    return static_cast<size_t>(id);
  }

  Json added_tokens() const {
    Json added = Json::array();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const bool special = kind(id) == kControl || kind(id) == kUnknown;
      if ((!special && kind(id) != kUserDefined) || spelling(id).empty()) continue;
      added.push_back({{"id", id},
                       {"content", spelling(id)},
                       {"single_word", false},
                       {"lstrip", takes_spaces_before(spelling(id))},
                       {"rstrip", takes_spaces_after(spelling(id))},
                       {"normalized", !special && is_found_normalized(spelling(id))},
                       {"special", special}});
    }
    return added;
  }

  // SentencePiece cleans a text up as a whole and finds its user's pieces in what comes of it.
  bool is_found_normalized(const std::string& token) const {
    const bool cleaned = metadata_.flag("tokenizer.ggml.remove_extra_whitespaces", false);
    const bool has_spaces =
        token.find(' ') != std::string::npos || token.find(kSpace) != std::string::npos;
    return is_sentencepiece() && !(cleaned && has_spaces);
  }

  // The format has no words for these flags, so they follow from whose file it is, as in llama.cpp.
  bool takes_spaces_before(const std::string& token) const {
    const std::string pre = metadata_.text("tokenizer.ggml.pre", "");
    if (token == "[MASK]") return model_name().find("modern-bert") != std::string::npos;
    return token == "<mask>" && (pre.starts_with("jina-v2-") ||
                                 metadata_.text("general.architecture", "") == "nomic-bert-moe");
  }
  bool takes_spaces_after(const std::string& token) const {
    return says_phi3(metadata_.text("general.name", "")) && token != "<unk>" && token != "<s>" &&
           token != "<|endoftext|>";
  }
  std::string model_name() const { return lower_case(metadata_.text("general.name", "")); }

  // What opens and closes a text.
  Json post_processor(bool add_bos, bool add_eos) const {
    add_bos = metadata_.flag("tokenizer.ggml.add_bos_token", add_bos);
    add_eos = metadata_.flag("tokenizer.ggml.add_eos_token", add_eos);
    const auto bos = special("bos"), eos = special("eos");
    return template_of(add_bos ? bos : std::nullopt, add_eos ? eos : std::nullopt);
  }

  Json template_of(std::optional<size_t> first, std::optional<size_t> last) const {
    if (!first && !last) return nullptr;
    Json single = Json::array(), pair = Json::array(), tokens = Json::object();
    const auto token = [&](size_t id, int type) {
      tokens[spelling(id)] = {{"id", spelling(id)}, {"ids", {id}}, {"tokens", {spelling(id)}}};
      return Json{{"SpecialToken", {{"id", spelling(id)}, {"type_id", type}}}};
    };
    const auto text = [](const char* name, int type) {
      return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
    };
    for (Json* parts : {&single, &pair}) {
      if (first) parts->push_back(token(*first, 0));
      parts->push_back(text("A", 0));
      if (last) parts->push_back(token(*last, 0));
      if (parts == &single) continue;
      parts->push_back(text("B", 1));
      if (last) parts->push_back(token(*last, 1));
    }
    return {{"type", "TemplateProcessing"},
            {"single", single},
            {"pair", pair},
            {"special_tokens", tokens}};
  }

  // Merges over the characters of a line, with signs for spaces; a run of line breaks that is a
  // token is one.
  void lines_of_text(Json& document) const {
    document["normalizer"] = {
        {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    document["pre_tokenizer"] = {{"type", "Split"},
                                 {"pattern", {{"Regex", R"([^\n]+|[\n]+)"}}},
                                 {"behavior", "Isolated"},
                                 {"invert", false}};
    document["decoder"] = {
        {"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}}}}};
    document["post_processor"] = post_processor(false, false);
    document["model"] = bpe(metadata_.texts(kMerges));
    document["model"]["byte_fallback"] = true;
    document["model"]["ignore_merges"] = true;
    ASHLAR_CHECK(metadata_.contains(kMerges), "{}: key '{}' is missing", metadata_.where(),
                 kMerges);
  }

  void byte_level(Json& document) const {
    if (!metadata_.contains("tokenizer.ggml.pre")) {
      log::warn(
          "file={} note=\"tokenizer.ggml.pre is missing, so words are cut as for 'default'; ids "
          "differ from the model's own where that is another\"",
          metadata_.where());
    }
    const std::string name = metadata_.text("tokenizer.ggml.pre", "default");
    if (name == "gemma4" || name == "granite-embed-multi-311m" || name == "sarvam-moe") {
      return lines_of_text(document);
    }
    const PreTokenizerPatterns* const pre = find_pre_tokenizer(name);
    ASHLAR_CHECK(pre != nullptr, "{}: tokenizer.ggml.pre '{}' is not known; known are {}",
                 metadata_.where(), name, known_pre_tokenizers());
    document["pre_tokenizer"] = steps_of(*pre);
    document["decoder"] = bytes_step();
    document["post_processor"] = post_processor(pre->add_bos, false);
    document["model"] = bpe(metadata_.texts(kMerges));
    document["model"]["ignore_merges"] = pre->ignore_merges;
    ASHLAR_CHECK(metadata_.contains("tokenizer.ggml.merges"),
                 "{}: key 'tokenizer.ggml.merges' is missing", metadata_.where());
  }

  Json bpe(const Json& merges) const {
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary()},
            {"merges", merges}};
  }

  // Two pieces merge where together they are a token, the one of the highest score first: as
  // merges, every way to make a token of two, in the order of the tokens' scores. A character of a
  // token may be no token itself: `characters` gathers those.
  Json merges_by_score(std::vector<std::string>& characters) const {
    const std::vector<double>& scores = metadata_.numbers("tokenizer.ggml.scores");
    ASHLAR_CHECK(scores.size() == tokens_.size(),
                 "{}: tokenizer.ggml.scores has {} entries for {} tokens", metadata_.where(),
                 scores.size(), tokens_.size());
    std::unordered_map<std::string_view, size_t> ids;
    for (size_t id = 0; id < tokens_.size(); ++id) ids.emplace(tokens_[id], id);
    // A character without a token counts as one behind them all.
    const auto id_of = [&](std::string_view part) -> std::optional<size_t> {
      if (const auto found = ids.find(part); found != ids.end()) return found->second;
      if (utf8_length(part[0]) != part.size()) return std::nullopt;
      characters.emplace_back(part);
      ids.emplace(part, tokens_.size() + characters.size() - 1);
      return tokens_.size() + characters.size() - 1;
    };
    struct Merge {
      size_t token, left, right;
    };
    std::vector<Merge> merges;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (kind(id) == kByte || kind(id) == kControl || kind(id) == kUnknown) continue;
      const std::string_view token = tokens_[id];
      for (size_t at = 1; at < token.size(); ++at) {
        if ((token[at] & 0xC0) == 0x80) continue;
        const auto left = id_of(token.substr(0, at)), right = id_of(token.substr(at));
        if (left && right) merges.push_back({id, *left, *right});
      }
    }
    std::ranges::stable_sort(merges, [&](const Merge& a, const Merge& b) {
      if (a.token != b.token) return scores[a.token] > scores[b.token];
      return std::pair(a.left, a.right) < std::pair(b.left, b.right);
    });
    const auto text_of = [&](size_t id) -> const std::string& {
      return id < tokens_.size() ? tokens_[id] : characters[id - tokens_.size()];
    };
    Json pairs = Json::array();
    for (const Merge& merge : merges) {
      pairs.push_back({text_of(merge.left), text_of(merge.right)});
    }
    return pairs;
  }

  // Normalizer and decoder: spaces become visible signs, one of which may go before the text. In
  // GGUF, llama.cpp cleans only for t5, and then puts one before every word whatever else is said.
  void show_spaces(Json& document) const {
    const bool t5 = metadata_.text(kModel) == "t5", own = is_sentencepiece();
    const bool cleaned =
        (own || t5) && metadata_.flag("tokenizer.ggml.remove_extra_whitespaces", false);
    const bool prefix =
        metadata_.flag("tokenizer.ggml.add_space_prefix", own || !t5) || (cleaned && !own);
    const bool suffix = metadata_.flag(kSpaceAsSuffix, false);
    Json normalizers = clean_up(cleaned), decoders = Json::array();
    if (prefix && suffix) {
      normalizers.push_back(
          {{"type", "Replace"}, {"pattern", {{"Regex", "\\z"}}}, {"content", kSpace}});
    } else if (prefix && t5 && !own) {  // not before spaces alone
      normalizers.push_back(
          {{"type", "Replace"}, {"pattern", {{"Regex", kBeforeWords}}}, {"content", kSpace}});
    } else if (prefix) {
      normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
      if (own && !metadata_.flag(kSpaceBehindTokens, false)) {
        normalizers.back()["first_only"] = true;
      }
    }
    normalizers.push_back(
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
    decoders.push_back({{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}});
    decoders.push_back({{"type", "ByteFallback"}});
    decoders.push_back({{"type", "Fuse"}});
    if (prefix || cleaned) {
      decoders.push_back(
          {{"type", "Strip"}, {"content", " "}, {"start", cleaned ? INT32_MAX : 1}, {"stop", 0}});
    }
    document["normalizer"] = {{"type", "Sequence"}, {"normalizers", normalizers}};
    document["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
  }

  void sentence_piece(Json& document) const {
    show_spaces(document);
    document["post_processor"] = post_processor(true, false);
    std::vector<std::string> characters;
    Json model = bpe(merges_by_score(characters));
    if (!characters.empty()) model["merging_characters"] = characters;
    model["fuse_unk"] = true;
    model["byte_fallback"] = true;
    if (const auto unknown = special("unknown")) model["unk_token"] = tokens_[*unknown];
    document["model"] = std::move(model);
  }

  void word_piece(Json& document) {
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const std::string& token = tokens_[id];
      if (token.starts_with(kSpace)) {
        spelt_.push_back(token.substr(std::string_view(kSpace).size()));
      } else if ((token.starts_with('[') && token.ends_with(']')) || kind(id) == kControl ||
                 kind(id) == kUserDefined) {
        spelt_.push_back(token);
      } else {
        spelt_.push_back("##" + token);
      }
    }
    const bool lower = metadata_.flag("tokenizer.ggml.normalizer.lowercase", true);
    document["normalizer"] = {
        {"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", true},
        {"strip_accents", metadata_.flag("tokenizer.ggml.normalizer.strip_accents", lower)},
        {"lowercase", lower}};
    document["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
    document["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
    auto first = special("cls"), last = special("seperator");  // the format's spelling
    if (!first) first = special("bos");
    if (!last) last = special("eos");
    document["post_processor"] = template_of(first, last);
    const auto unknown = special("unknown");
    ASHLAR_CHECK(unknown, "{}: key 'tokenizer.ggml.unknown_token_id' is missing",
                 metadata_.where());
    document["model"] = {{"type", "WordPiece"},
                         {"unk_token", spelling(*unknown)},
                         {"continuing_subword_prefix", "##"},
                         {"max_input_chars_per_word", 1'000'000},
                         {"vocab", vocabulary()}};
  }

  void unigram(Json& document) const {
    const std::vector<double>& scores = metadata_.numbers("tokenizer.ggml.scores");
    ASHLAR_CHECK(scores.size() == tokens_.size(),
                 "{}: tokenizer.ggml.scores has {} entries for {} tokens", metadata_.where(),
                 scores.size(), tokens_.size());
    Json vocab = Json::array();
    bool bytes = false;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      vocab.push_back({tokens_[id], scores[id]});
      bytes = bytes || kind(id) == kByte;
    }
    const auto unknown = special("unknown");
    document["model"] = {
        {"type", "Unigram"}, {"unk_id", nullptr}, {"vocab", vocab}, {"byte_fallback", bytes}};
    if (unknown) document["model"]["unk_id"] = *unknown;
    Json textless = Json::array();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (kind(id) == kByte || kind(id) == kControl || kind(id) == kUnknown) {
        textless.push_back(id);
      }
    }
    document["model"]["never_matched"] = textless;
    show_spaces(document);
    document["post_processor"] = post_processor(false, true);
  }

  // SentencePiece's models without scores: words between spaces, or characters.
  void plain_pieces(Json& document, bool chars) const {
    show_spaces(document);
    document["post_processor"] = post_processor(true, false);
    const auto unknown = special("unknown");
    ASHLAR_CHECK(unknown, "{}: the model has no unknown piece", metadata_.where());
    if (chars) {
      document["model"] = bpe(Json::array());
      document["model"]["unk_token"] = tokens_[*unknown];
    } else {
      const bool suffix = metadata_.flag(kSpaceAsSuffix, false);
      document["pre_tokenizer"] = {{"type", "Split"},
                                   {"pattern", {{"String", kSpace}}},
                                   {"behavior", suffix ? "MergedWithPrevious" : "MergedWithNext"},
                                   {"invert", false}};
      document["model"] = {
          {"type", "WordLevel"}, {"unk_token", tokens_[*unknown]}, {"vocab", vocabulary()}};
    }
    document["model"]["fuse_unk"] = true;
  }

  // What SentencePiece does to a text first.
  Json clean_up(bool extra_spaces) const {
    Json normalizers = Json::array();
    const bool mapped = is_sentencepiece() || metadata_.text(kModel) == "t5";
    if (const std::string map = precompiled_map(); mapped && !map.empty()) {
      normalizers.push_back(
          {{"type", "Precompiled"}, {"precompiled_charsmap", map}, {"longest_match", true}});
    }
    if (extra_spaces) {
      const char* ends = is_sentencepiece() ? kEndsOfOwn : kEndsOfGguf;
      normalizers.push_back({{"type", "Replace"}, {"pattern", {{"Regex", ends}}}, {"content", ""}});
      normalizers.push_back(
          {{"type", "Replace"}, {"pattern", {{"Regex", kSeveralSpaces}}}, {"content", " "}});
    }
    return normalizers;
  }

  // Bytes, which tokenizer.json has in base 64.
  std::string precompiled_map() const {
    std::string bytes;
    for (const int64_t byte : metadata_.integers("tokenizer.ggml.precompiled_charsmap")) {
      bytes.push_back(static_cast<char>(byte));
    }
    return to_base64(bytes);
  }

  const GgufMetadata& metadata_;
  const std::vector<std::string>& tokens_;
  const std::vector<int64_t>& kinds_;
  std::vector<std::string> spelt_;
};

}  // namespace

bool has_tokenizer(const GgufMetadata& metadata) {
  return metadata.contains(kModel) && metadata.text(kModel) != "none" &&
         metadata.text(kModel) != "no_vocab";
}

bool says_phi3(std::string name) {
  name = lower_case(std::move(name));
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

std::string pre_tokenizer_json(const PreTokenizerPatterns& pre) { return steps_of(pre).dump(); }

std::string tokenizer_json(const GgufMetadata& metadata) { return Importer(metadata).json(); }

text::ChatFiles gguf_chat_files(const GgufMetadata& metadata) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  text::ChatFiles files;
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(kTemplate)) continue;
    const std::string_view rest = std::string_view(key).substr(kTemplate.size());
    if (!rest.empty() && !rest.starts_with('.')) continue;
    files.templates.push_back({rest.empty() ? "default" : std::string(rest.substr(1)),
                               metadata.text(key), metadata.where() + ": " + key});
  }
  const std::vector<std::string>& tokens = metadata.texts(kTokens);
  const std::pair<const char*, const char*> roles[] = {{"bos_token", "bos"},
                                                       {"eos_token", "eos"},
                                                       {"unk_token", "unknown"},
                                                       {"pad_token", "padding"}};
  for (const auto& [role, name] : roles) {
    const int64_t id = metadata.integer(fmt::format("tokenizer.ggml.{}_token_id", name), -1);
    if (id >= 0 && id < static_cast<int64_t>(tokens.size())) {
      files.special_tokens.emplace_back(role, tokens[static_cast<size_t>(id)]);
    }
  }
  return files;
}

}  // namespace ashlar::bundle
