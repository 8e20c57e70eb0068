// TemplateProcessing: a list of special tokens and sequences; BERT's and RoBERTa's processing are
// templates too.
#include "ashlar/text/post_processors/post_processor.h"
#include "ashlar/text/vocabulary.h"

#include <unordered_map>

namespace ashlar::text {
namespace {

struct Item {
  int sequence = -1;  // 0 or 1, or -1: the special tokens
  std::vector<int32_t> special_ids;
  int32_t type_id = 0;
};
using Template = std::vector<Item>;

class TemplateProcessor : public PostProcessor {
 public:
  TemplateProcessor(Template single, Template pair)
      : single_(std::move(single)), pair_(std::move(pair)) {}

  Encoding process(std::span<const std::vector<int32_t>> sequences,
                   bool add_special_tokens) const override {
    Encoding out;
    for (const Item& item : of(sequences.size())) {
      if (item.sequence < 0 && !add_special_tokens) continue;
      const auto& ids =
          item.sequence < 0 ? item.special_ids : sequences[static_cast<size_t>(item.sequence)];
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      out.type_ids.resize(out.ids.size(), item.type_id);
    }
    return out;
  }

  size_t added_tokens(size_t sequences) const override {
    size_t count = 0;
    for (const Item& item : of(sequences)) count += item.special_ids.size();
    return count;
  }

 private:
  const Template& of(size_t sequences) const { return sequences == 1 ? single_ : pair_; }

  Template single_, pair_;
};

using SpecialTokens = std::unordered_map<std::string, std::vector<int32_t>>;

SpecialTokens special_tokens(JsonView json) {
  SpecialTokens tokens;
  const auto members = json.find("special_tokens");
  if (!members) return tokens;
  members->each_member([&](std::string_view name, JsonView value) {
    const JsonView ids = value.at("ids");
    auto& list = tokens[std::string(name)];
    for (size_t i = 0; i < ids.size(); ++i) {
      list.push_back(static_cast<int32_t>(ids.element(i).integer(0, kMaxTokenId)));
    }
  });
  return tokens;
}

Template read_template(JsonView json, const SpecialTokens& tokens, int sequences) {
  Template out;
  for (size_t i = 0; i < json.size(); ++i) {
    Item item;
    JsonView body = json.element(i);
    if (const auto sequence = body.find("Sequence")) {
      body = *sequence;
      const std::string_view name = body.at("id").string();
      item.sequence = name == "A" ? 0 : name == "B" ? 1 : sequences;
      if (item.sequence >= sequences) {
        body.at("id").fail(sequences == 1 ? "wanted \"A\"" : "wanted \"A\" or \"B\"");
      }
    } else if (const auto special = body.find("SpecialToken")) {
      body = *special;
      const auto found = tokens.find(std::string(body.at("id").string()));
      if (found == tokens.end()) body.at("id").fail("is not in special_tokens");
      item.special_ids = found->second;
    } else {
      body.fail("wanted the key \"Sequence\" or \"SpecialToken\"");
    }
    if (const auto type = body.find("type_id")) {
      item.type_id = static_cast<int32_t>(type->integer(0, INT32_MAX));
    }
    out.push_back(std::move(item));
  }
  return out;
}

// ["[SEP]", 102]
Item token_and_id(JsonView json, int32_t type_id) {
  return {-1, {static_cast<int32_t>(json.element(1).integer(0, kMaxTokenId))}, type_id};
}

}  // namespace

std::unique_ptr<PostProcessor> make_template_processing(JsonView json) {
  const SpecialTokens tokens = special_tokens(json);
  return std::make_unique<TemplateProcessor>(read_template(json.at("single"), tokens, 1),
                                             read_template(json.at("pair"), tokens, 2));
}

std::unique_ptr<PostProcessor> make_bert_processing(JsonView json) {
  const Item cls = token_and_id(json.at("cls"), 0);
  const Item sep = token_and_id(json.at("sep"), 0);
  const Item last_sep = token_and_id(json.at("sep"), 1);
  const Item a{0, {}, 0};
  return std::make_unique<TemplateProcessor>(Template{cls, a, sep},
                                             Template{cls, a, sep, Item{1, {}, 1}, last_sep});
}

std::unique_ptr<PostProcessor> make_roberta_processing(JsonView json) {
  const Item cls = token_and_id(json.at("cls"), 0);
  const Item sep = token_and_id(json.at("sep"), 0);
  const Item a{0, {}, 0};
  return std::make_unique<TemplateProcessor>(Template{cls, a, sep},
                                             Template{cls, a, sep, sep, Item{1, {}, 0}, sep});
}

}  // namespace ashlar::text
