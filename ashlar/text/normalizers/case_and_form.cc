#include "ashlar/text/normalizers/case_and_form.h"

#include "ashlar/base/error.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/unicode/normalizer_tables.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace ashlar::text {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

int options(UnicodeForm form) {
  switch (form) {
    case UnicodeForm::kNfc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case UnicodeForm::kNfd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case UnicodeForm::kNfkc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case UnicodeForm::kNfkd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
  }
  return 0;
}

void append_form(std::string& out, std::string_view text, UnicodeForm form) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                   static_cast<utf8proc_option_t>(options(form)));
  ASHLAR_CHECK(length >= 0, "normalizing {} bytes of text: {}", text.size(),
               utf8proc_errmsg(length));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
}

char32_t lower_case(char32_t c) {
  if (const LowerRun* run = find_run(later_lower_case(), c)) {
    return static_cast<char32_t>(static_cast<int32_t>(c) + run->delta);
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(UnicodeForm form) : form_(form) {}
  void normalize(std::string& text) const override { to_unicode_form(text, form_); }

 private:
  UnicodeForm form_;
};

class LowercaseNormalizer : public Normalizer {
 public:
  void normalize(std::string& text) const override { to_lower(text); }
};

}  // namespace

void to_unicode_form(std::string& text, UnicodeForm form) {
  if (is_ascii(text)) return;
  // Characters that the reference does not know stay, and nothing composes across them.
  std::string out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    at += c.length;
    if (c.value < 0x80 || !contains(chars_without_forms(), c.value)) continue;
    append_form(out, std::string_view(text).substr(begin, at - c.length - begin), form);
    out.append(text, at - c.length, c.length);
    begin = at;
  }
  append_form(out, std::string_view(text).substr(begin), form);
  text = std::move(out);
}

void to_lower(std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    at += c.length;
    if (c.value < 0x80) {
      out.push_back(static_cast<char>(c.value >= 'A' && c.value <= 'Z' ? c.value + 32 : c.value));
    } else if (c.value == 0x130) {  // the one character whose lower case is two: i and a dot above
      out += "i\xCC\x87";
    } else {
      append_utf8(out, lower_case(c.value));
    }
  }
  text = std::move(out);
}

std::unique_ptr<Normalizer> make_unicode_form(JsonView json) {
  const std::string_view type = json.at("type").string();
  return std::make_unique<FormNormalizer>(type == "NFC"    ? UnicodeForm::kNfc
                                          : type == "NFD"  ? UnicodeForm::kNfd
                                          : type == "NFKC" ? UnicodeForm::kNfkc
                                                           : UnicodeForm::kNfkd);
}

std::unique_ptr<Normalizer> make_lowercase(JsonView) {
  return std::make_unique<LowercaseNormalizer>();
}

}  // namespace ashlar::text
