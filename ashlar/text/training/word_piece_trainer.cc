#include "ashlar/text/training/word_piece_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/training/pair_corpus.h"
#include "ashlar/text/training/text_words.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

namespace ashlar::text {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kGoesOn = "##";
constexpr size_t kMaxWordBytes = 400;  // longer words teach nothing: the model takes 100 characters

Json normalizer_json(bool lower_case) {
  return {{"type", "BertNormalizer"},
          {"clean_text", true},
          {"handle_chinese_chars", true},
          {"strip_accents", nullptr},
          {"lowercase", lower_case}};
}

Json special_piece(const std::string& token, int type) {
  return {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
}

Json sequence_piece(const char* name, int type) {
  return {{"Sequence", {{"id", name}, {"type_id", type}}}};
}

// [CLS] first [SEP] second [SEP].
Json post_processor(const std::map<std::string, int32_t>& ids) {
  Json specials = Json::object();
  for (const char* token : {"[CLS]", "[SEP]"}) {
    specials[token] = {
        {"id", token}, {"ids", Json::array({ids.at(token)})}, {"tokens", Json::array({token})}};
  }
  const Json cls = special_piece("[CLS]", 0), sep = special_piece("[SEP]", 0);
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({cls, sequence_piece("A", 0), sep})},
          {"pair", Json::array({cls, sequence_piece("A", 0), sep, sequence_piece("B", 1),
                                special_piece("[SEP]", 1)})},
          {"special_tokens", specials}};
}

std::string tokenizer_json(const std::vector<std::string>& tokens,
                           const WordPieceTrainOptions& options) {
  Json added = Json::array();
  std::map<std::string, int32_t> special_ids;
  Json::object_t vocabulary;
  for (size_t id = 0; id < tokens.size(); ++id) {
    vocabulary.push_back({tokens[id], id});
    if (id >= options.special_tokens.size()) continue;
    special_ids[tokens[id]] = static_cast<int32_t>(id);
    added.push_back({{"id", id},
                     {"content", tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json document = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", normalizer_json(options.lower_case)},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", post_processor(special_ids)},
      {"decoder", {{"type", "WordPiece"}, {"prefix", kGoesOn}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", "[UNK]"},
        {"continuing_subword_prefix", kGoesOn},
        {"max_input_chars_per_word", 100},
        {"vocab", Json(std::move(vocabulary))}}}};
  return document.dump(2) + "\n";
}

}  // namespace

void WordPieceTrainOptions::validate() const {
  std::set<std::string_view> seen;
  for (const std::string& token : special_tokens) {
    ASHLAR_CHECK(!token.empty() && seen.insert(token).second,
                 "tokenizer training: special token \"{}\" is empty or given twice", token);
  }
  for (const char* token : {"[UNK]", "[CLS]", "[SEP]"}) {
    ASHLAR_CHECK(seen.contains(token), "tokenizer training: word pieces need the special token {}",
                 token);
  }
  ASHLAR_CHECK(vocab_size > std::ssize(special_tokens) && vocab_size <= kMaxTokenId,
               "tokenizer training: vocab_size {} is not above {} special tokens and at most {}",
               vocab_size, special_tokens.size(), kMaxTokenId);
  ASHLAR_CHECK(min_frequency >= 1, "tokenizer training: min_frequency {} is not positive",
               min_frequency);
}

WordPieceTrainer::WordPieceTrainer(WordPieceTrainOptions options) : options_(std::move(options)) {
  options_.validate();
  words_ = std::make_unique<TextWords>(normalizer_json(options_.lower_case).dump(),
                                       Json{{"type", "BertPreTokenizer"}}.dump(), kMaxWordBytes);
}

WordPieceTrainer::~WordPieceTrainer() = default;

void WordPieceTrainer::feed(std::string_view text) { words_->feed(text); }

Tokenizer WordPieceTrainer::train(const std::function<void(int32_t tokens)>& progress) const {
  std::vector<std::string> tokens = options_.special_tokens;
  std::unordered_map<std::string, int32_t> ids;
  const auto add = [&](const std::string& token) {
    const auto [entry, fresh] = ids.try_emplace(token, static_cast<int32_t>(tokens.size()));
    if (fresh) tokens.push_back(token);
    return entry->second;
  };
  for (const std::string& token : options_.special_tokens) {
    ids.emplace(token, static_cast<int32_t>(ids.size()));
  }

  // Words in order, so that ids do not depend on how they are hashed.
  const std::map<std::string, int64_t> words(words_->counts().begin(), words_->counts().end());
  std::map<std::string, int64_t> characters;
  for (const auto& [word, count] : words) {
    for (size_t at = 0; at < word.size(); at += utf8_length(word[at])) {
      characters[word.substr(at, utf8_length(word[at]))] += count;
    }
  }
  std::vector<std::pair<int64_t, std::string>> by_count;
  for (const auto& [character, count] : characters) by_count.emplace_back(-count, character);
  std::ranges::sort(by_count);
  const auto room = static_cast<size_t>(
      std::min<int64_t>(options_.max_characters, options_.vocab_size - std::ssize(tokens)));
  by_count.resize(std::min(by_count.size(), room));
  std::set<std::string> kept;
  for (const auto& [count, character] : by_count) kept.insert(character);
  for (const std::string& character : kept) add(character);

  PairCorpus corpus;
  for (const auto& [word, count] : words) {
    std::vector<int32_t> symbols;
    for (size_t at = 0; at < word.size();) {
      const std::string character = word.substr(at, utf8_length(word[at]));
      const std::string token = at == 0 ? character : std::string(kGoesOn) + character;
      at += character.size();
      const bool has_room = static_cast<int32_t>(tokens.size()) < options_.vocab_size;
      if (!kept.contains(character) || (!has_room && !ids.contains(token))) {
        symbols.clear();  // the word is unknown as a whole
        break;
      }
      symbols.push_back(add(token));
    }
    corpus.add_word(symbols, count);
  }

  const int32_t stride = std::max(1, options_.vocab_size / 100);
  for (int32_t step = 0; static_cast<int32_t>(tokens.size()) < options_.vocab_size; ++step) {
    if (progress && step % stride == 0) progress(static_cast<int32_t>(tokens.size()));
    const PairCounts::Pair* const top = corpus.pairs().top();
    if (top == nullptr || top->count < options_.min_frequency) break;
    const std::string& right = tokens[static_cast<size_t>(top->right)];
    const std::string merged =
        tokens[static_cast<size_t>(top->left)] + right.substr(kGoesOn.size());
    corpus.merge_top(add(merged), step);
  }
  if (progress) progress(static_cast<int32_t>(tokens.size()));
  return Tokenizer::from_json(tokenizer_json(tokens, options_), "the trained tokenizer");
}

}  // namespace ashlar::text
