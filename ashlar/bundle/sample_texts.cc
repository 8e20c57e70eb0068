#include "ashlar/bundle/sample_texts.h"

#include "ashlar/base/utf8.h"

#include <algorithm>

namespace ashlar::bundle {
namespace {

constexpr std::string_view kTexts[] = {
    "Hello, world! It's 3 o'clock; we'll meet at 12:45, won't we?",
    " the end",
    "  leading and   inner   spaces  ",
    "tabs\tand\t\tmore\nnewlines\r\n\n\nagain \n x\n",
    "a\n b\n  c \n\n d \t\n",
    "1 12 123 1234 12345 123456 3.14159 1,000,000 x2y34z567 ١٢٣ ४५६ ² ³ Ⅷ ½",
    "def f(x):\n    return x**2  # comment\n\tif (a != b) { c += d->e; } // $x @y",
    "naïve café ÆØÅ Straße ǅ ŉ İi ıI",
    "Привет, мир! Ελληνικά Հայերեն ქართული",
    "中文字符，标点。「日本語」のカナ ー 한국어 텍스트、ㄅㄆ 龥龦 豈",
    "ไทย ລາວ ខ្មែរ မြန်မာ हिन्दी தமிழ்",
    "العربية، فارسی؛ עברית۔",
    "🚀 (one) 😶‍🌫️ (joined) ✅ 👩‍👩‍👧‍👦 🇩🇪",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ «quotes» “curly” ‘s’ … — – © ™ € ∑ ≠",
    "ALLCAPS CamelCase snake_case kebab-case https://example.com/a?b=c&d=e",
    "I'M YOU'LL He'D 'tis don't 'S 're ’s",
    "\u00A0nbsp\u2003em\u3000wide\u200Bzero\u2028line",
    "３ ｆｕｌｌ ＷＩＤＴＨ，。！",
    "a  b   c    d     e                 f",
    "x= -1;y=+2 ...  ??? !!! --- ### (a)[b]{c}",
    "wait....what ....! <b>bold</b> 3.5x a\u00A0\u00A0 b\u3000\u3000c",
};

}  // namespace

std::span<const std::string_view> sample_texts() { return kTexts; }

std::vector<std::string> vocabulary_texts(const text::Tokenizer& tokenizer) {
  std::vector<bool> added(static_cast<size_t>(tokenizer.vocab_size()));
  for (const text::AddedToken& token : tokenizer.added_tokens()) {
    added[static_cast<size_t>(token.id)] = true;
  }
  std::vector<std::string> texts;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (added[static_cast<size_t>(id)] || !tokenizer.id_to_token(id)) continue;
    std::string text = tokenizer.decode_bytes({&id, 1}, false);
    if (!text.empty() && valid_utf8_prefix(text) == text.size()) texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace ashlar::bundle
