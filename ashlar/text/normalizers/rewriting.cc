// The small normalizers: Strip, StripAccents, Nmt, ByteLevel, Replace, Prepend.
#include "ashlar/text/byte_chars.h"
#include "ashlar/text/normalizers/case_and_form.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/pattern.h"
#include "ashlar/text/unicode/normalizer_tables.h"
#include "ashlar/text/unicode/properties.h"

namespace ashlar::text {
namespace {

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void normalize(std::string& text) const override {
    const char* begin = text.data();
    const char* end = begin + text.size();
    while (right_ && end > begin) {
      const char* last = previous_utf8(end);
      if (!is_white_space(decode_utf8(last).value)) break;
      end = last;
    }
    while (left_ && begin < end && is_white_space(decode_utf8(begin).value)) {
      begin += utf8_length(*begin);
    }
    text = std::string(begin, end);
  }

 private:
  bool left_, right_;
};

class StripAccents : public Normalizer {
 public:
  void normalize(std::string& text) const override {
    filter_chars(text, [](char32_t c) {
      if (is_in(c, kMarks)) return contains(strip_kept_marks(), c);
      return !contains(strip_dropped_others(), c);
    });
  }
};

// The clean-up of the NMT normalizer of SentencePiece: control characters go, odd spaces become '
// '.
class Nmt : public Normalizer {
 public:
  void normalize(std::string& text) const override {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const DecodedChar c = decode_utf8(text.data() + at);
      at += c.length;
      if (is_dropped(c.value)) continue;
      append_utf8(out, is_space(c.value) ? U' ' : c.value);
    }
    text = std::move(out);
  }

 private:
  static bool is_dropped(char32_t c) {
    return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
           c == 0x8F || c == 0x9F;
  }
  static bool is_space(char32_t c) {
    return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  }
};

class ByteLevel : public Normalizer {
 public:
  void normalize(std::string& text) const override {
    std::string out;
    append_byte_chars(out, text);
    text = std::move(out);
  }
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string_view content)
      : pattern_(std::move(pattern)), content_(content) {}
  void normalize(std::string& text) const override { text = replace_all(pattern_, text, content_); }

 private:
  Pattern pattern_;
  std::string content_;
};

// first_only, which files of the tokenizers library do not have: before the whole input, not before
// what stands behind an added token (SentencePiece's own models).
class Prepend : public Normalizer {
 public:
  Prepend(std::string_view prefix, bool first_only) : prefix_(prefix), first_only_(first_only) {}
  void normalize(std::string& text) const override {
    if (!first_only_) normalize_first(text);
  }
  void normalize_first(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
  bool first_only_;
};

}  // namespace

std::unique_ptr<Normalizer> make_strip(JsonView json) {
  return std::make_unique<Strip>(json.boolean_or("strip_left", true),
                                 json.boolean_or("strip_right", true));
}

std::unique_ptr<Normalizer> make_strip_accents(JsonView) {
  return std::make_unique<StripAccents>();
}

std::unique_ptr<Normalizer> make_nmt(JsonView) { return std::make_unique<Nmt>(); }

std::unique_ptr<Normalizer> make_byte_level_normalizer(JsonView) {
  return std::make_unique<ByteLevel>();
}

std::unique_ptr<Normalizer> make_replace(JsonView json) {
  return std::make_unique<Replace>(Pattern::from_json(json.at("pattern")),
                                   json.at("content").string());
}

std::unique_ptr<Normalizer> make_prepend(JsonView json) {
  return std::make_unique<Prepend>(json.at("prepend").string(),
                                   json.boolean_or("first_only", false));
}

}  // namespace ashlar::text
