#include "ashlar/text/normalizers/case_and_form.h"

#include "ashlar/base/error.h"
#include "ashlar/text/normalizers/normalizer.h"

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
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                   static_cast<utf8proc_option_t>(options(form)));
  ASHLAR_CHECK(length >= 0, "normalizing {} bytes of text: {}", text.size(),
               utf8proc_errmsg(length));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  text.assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
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
      append_utf8(out,
                  static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
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
