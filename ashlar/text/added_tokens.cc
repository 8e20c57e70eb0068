#include "ashlar/text/added_tokens.h"

#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/unicode/properties.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::text {
namespace {

AddedToken read_token(JsonView json) {
  AddedToken token;
  token.content = json.at("content").string();
  token.id = static_cast<int32_t>(json.at("id").integer(0, kMaxTokenId));
  token.single_word = json.boolean_or("single_word", false);
  token.lstrip = json.boolean_or("lstrip", false);
  token.rstrip = json.boolean_or("rstrip", false);
  token.special = json.boolean_or("special", false);
  token.normalized = json.boolean_or("normalized", !token.special);
  return token;
}

void check_against(const Vocabulary& vocabulary, const AddedToken& token, JsonView json) {
  const auto known = vocabulary.find(token.content);
  if (known && *known != token.id) {
    json.fail(fmt::format("token \"{}\" has id {} here and {} in model.vocab", token.content,
                          token.id, *known));
  }
  const auto other = vocabulary.token(token.id);
  if (!known && other) {
    json.fail(fmt::format("id {} of token \"{}\" is that of \"{}\" in model.vocab", token.id,
                          token.content, *other));
  }
}

// The tokenizers library numbers the tokens that the vocabulary lacks anew, in the order of the
// file.
void note_other_id(const AddedToken& token, int64_t next, JsonView json) {
  if (token.id == next) return;
  log::warn("file={} note=\"the added token {} has id {}; the tokenizers library makes it {}\"",
            json.place(), shown_text(token.content), token.id, next);
}

bool is_word_before(std::string_view text, size_t at) {
  return at > 0 && is_word_or_joiner(decode_utf8(previous_utf8(text.data() + at)).value);
}
bool is_word_after(std::string_view text, size_t at) {
  return at < text.size() && is_word_or_joiner(decode_utf8(text.data() + at).value);
}

// Where the white space before `at` begins, but not before `lowest`, even if that is behind `at`.
size_t skip_space_back(std::string_view text, size_t at, size_t lowest) {
  while (at > lowest) {
    const char* last = previous_utf8(text.data() + at);
    if (!is_white_space(decode_utf8(last).value)) break;
    at = static_cast<size_t>(last - text.data());
  }
  return std::max(at, lowest);
}
size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size()) {
    const DecodedChar c = decode_utf8(text.data() + at);
    if (!is_white_space(c.value)) break;
    at += c.length;
  }
  return at;
}

}  // namespace

StringTrie::StringTrie() { roots_.fill(-1); }

void StringTrie::add(std::string_view text, int32_t value) {
  int32_t* slot = &roots_[static_cast<uint8_t>(text[0])];
  int32_t node = -1;
  for (const char byte : text) {
    while (*slot >= 0 && nodes_[static_cast<size_t>(*slot)].byte != byte) {
      slot = &nodes_[static_cast<size_t>(*slot)].sibling;
    }
    if (*slot < 0) {
      *slot = static_cast<int32_t>(nodes_.size());
      node = *slot;
      nodes_.push_back({byte});  // slot may dangle from here on
    } else {
      node = *slot;
    }
    slot = &nodes_[static_cast<size_t>(node)].child;
  }
  int32_t& held = nodes_[static_cast<size_t>(node)].value;
  if (held < 0) held = value;
}

std::optional<StringTrie::Match> StringTrie::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    int32_t node = roots_[static_cast<uint8_t>(text[begin])];
    if (node < 0) continue;
    std::optional<Match> longest;
    for (size_t at = begin; node >= 0;) {
      const Node& here = nodes_[static_cast<size_t>(node)];
      if (here.byte != text[at]) {
        node = here.sibling;
        continue;
      }
      ++at;
      if (here.value >= 0) longest = Match{begin, at, here.value};
      if (at == text.size()) break;
      node = here.child;
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(std::optional<JsonView> json, const Vocabulary& vocabulary,
                         const Normalizer* normalizer) {
  if (!json) return;
  int64_t next = vocabulary.size();
  for (size_t i = 0; i < json->size(); ++i) {
    const JsonView entry = json->element(i);
    AddedToken token = read_token(entry);
    if (token.content.empty()) continue;  // which the tokenizers library passes over too
    if (const AddedToken* same = find(token.content); same != nullptr && same->id == token.id)
      continue;
    check_against(vocabulary, token, entry);
    if (!vocabulary.find(token.content)) {
      note_other_id(token, next, entry);
      next = std::max<int64_t>(next, token.id + 1);
    }
    const size_t index = tokens_.size();
    if (!by_content_.emplace(token.content, index).second) {
      entry.fail(fmt::format("token \"{}\" is there twice", token.content));
    }
    const auto [taken, fresh] = by_id_.emplace(token.id, index);
    if (!fresh) {
      entry.fail(fmt::format("id {} is already that of token \"{}\"", token.id,
                             tokens_[taken->second].content));
    }
    std::string sought = token.content;
    if (token.normalized && normalizer != nullptr) normalizer->normalize(sought);
    token.decoded = sought;
    if (!sought.empty()) {
      (token.normalized ? normalized_ : raw_).add(sought, static_cast<int32_t>(index));
    }
    tokens_.push_back(std::move(token));
  }
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found != by_content_.end() ? &tokens_[found->second] : nullptr;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found != by_id_.end() ? &tokens_[found->second] : nullptr;
}

void AddedTokens::each_part(
    std::string_view text, Stage stage,
    const std::function<void(std::string_view, const AddedToken*)>& visit) const {
  size_t done = 0;  // text before it has been visited
  size_t from = 0;
  while (from < text.size() && any(stage)) {
    const auto match = trie(stage).find(text, from);
    if (!match) break;
    from = match->end;
    const AddedToken& token = tokens_[static_cast<size_t>(match->value)];
    if (token.single_word &&
        (is_word_before(text, match->begin) || is_word_after(text, match->end))) {
      continue;
    }
    // A token that an earlier one took along as white space still counts, unless lstrip moves its
    // beginning behind its end.
    const size_t begin = token.lstrip ? skip_space_back(text, match->begin, done) : match->begin;
    const size_t end = token.rstrip ? skip_space(text, match->end) : match->end;
    if (done < begin) visit(text.substr(done, begin - done), nullptr);
    if (begin < end) visit(text.substr(begin, end - begin), &token);
    done = end;
  }
  if (done < text.size()) visit(text.substr(done), nullptr);
}

}  // namespace ashlar::text
