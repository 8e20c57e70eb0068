// TemplateProcessing: a list of special tokens and sequences.
#include "ashlar/base/error.h"
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

  std::vector<Encoding> process(std::vector<Encoding> parts,
                                bool add_special_tokens) const override {
    ASHLAR_CHECK(parts.size() == 1 || parts.size() == 2,
                 "TemplateProcessing takes one part or two, and the step before it leaves {}: "
                 "write one template for both steps",
                 parts.size());
    std::vector<Encoding> out;
    for (const Item& item : of(parts.size())) {
      if (item.sequence < 0 && !add_special_tokens) continue;
      Encoding& part = out.emplace_back();
      if (item.sequence < 0) {
        part.ids = item.special_ids;
      } else {
        part = parts[static_cast<size_t>(item.sequence)];
      }
      part.type_ids.assign(part.ids.size(), item.type_id);  // pieces keep theirs, as there
    }
    return out;
  }

  size_t added_tokens(size_t texts) const override {
    size_t count = 0;
    for (const Item& item : of(texts)) count += item.special_ids.size();
    return count;
  }

 private:
  const Template& of(size_t parts) const { return parts == 1 ? single_ : pair_; }

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

}  // namespace

std::unique_ptr<PostProcessor> make_template_processing(JsonView json) {
  const SpecialTokens tokens = special_tokens(json);
  return std::make_unique<TemplateProcessor>(read_template(json.at("single"), tokens, 1),
                                             read_template(json.at("pair"), tokens, 2));
}

}  // namespace ashlar::text
