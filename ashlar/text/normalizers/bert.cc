// BertNormalizer: the clean-up of BERT's original tokenizer.
#include "ashlar/text/normalizers/case_and_form.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/unicode/bert_tables.h"
#include "ashlar/text/unicode/properties.h"

namespace ashlar::text {
namespace {

// CJK ideographs as BERT counts them; each becomes a word of its own.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// Characters not assigned are kept.
constexpr CategorySet kControls =
    category_bit(Category::kCc) | category_bit(Category::kCf) | category_bit(Category::kCo);

bool is_control(char32_t c) {
  return c == 0xFFFD || (is_in(c, kControls) && !contains(bert_kept_formats(), c));
}

bool is_accent(char32_t c) {
  if (category(c) == Category::kMn) return !contains(bert_kept_marks(), c);
  return contains(bert_dropped_marks(), c);
}

void clean(std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    const std::string_view bytes(text.data() + at, c.length);
    at += c.length;
    if (is_white_space(c.value)) {
      // Vertical tab, form feed and U+0085 are control characters first.
      if (c.value != 0x0B && c.value != 0x0C && c.value != 0x85) out.push_back(' ');
    } else if (!is_control(c.value)) {
      out.append(bytes);
    }
  }
  text = std::move(out);
}

void set_ideographs_apart(std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    const std::string_view bytes(text.data() + at, c.length);
    at += c.length;
    if (is_ideograph(c.value)) {
      out.append(" ").append(bytes).append(" ");
    } else {
      out.append(bytes);
    }
  }
  text = std::move(out);
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(JsonView json)
      : clean_text_(json.boolean_or("clean_text", true)),
        chinese_(json.boolean_or("handle_chinese_chars", true)),
        lowercase_(json.boolean_or("lowercase", true)),
        strip_accents_(json.boolean_or("strip_accents", lowercase_)) {}

  void normalize(std::string& text) const override {
    if (clean_text_) clean(text);
    if (chinese_) set_ideographs_apart(text);
    if (strip_accents_) {
      to_unicode_form(text, UnicodeForm::kNfd);
      filter_chars(text, [](char32_t c) { return !is_accent(c); });
    }
    if (lowercase_) to_lower(text);
  }

 private:
  bool clean_text_, chinese_, lowercase_, strip_accents_;
};

}  // namespace

std::unique_ptr<Normalizer> make_bert_normalizer(JsonView json) {
  return std::make_unique<BertNormalizer>(json);
}

}  // namespace ashlar::text
