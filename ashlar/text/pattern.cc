#include "ashlar/text/pattern.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/growth.h"

namespace ashlar::text {

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::from_json(JsonView json) {
  if (json.is_string()) return literal(std::string(json.string()));
  Pattern pattern;
  if (const auto text = json.find("String")) {
    pattern.literal_ = text->string();
    return pattern;
  }
  const auto regex = json.find("Regex");
  if (!regex) json.fail("a pattern needs the key \"String\" or \"Regex\"");
  try {
    pattern.regex_.emplace(regex->string());
  } catch (const Error& error) {
    regex->fail(error.what());
  }
  return pattern;
}

void Pattern::each_match(std::string_view text, const std::function<void(Span)>& visit) const {
  if (regex_) {
    // Oniguruma's iteration: an empty match counts unless it ends the match before it.
    Regex::Searcher searcher(*regex_);
    size_t at = 0;
    std::optional<size_t> last_end;
    while (!text.empty() && at <= text.size()) {
      const std::optional<Span> match = searcher.find(text, at);
      if (!match) return;
      if (match->size() == 0 && match->end == last_end) {
        at += at < text.size() ? utf8_length(text[at]) : 1;
        continue;
      }
      visit(*match);
      at = match->end;
      last_end = at;
    }
    return;
  }
  if (literal_.empty()) {
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) visit({at, at});
    if (!text.empty()) visit({text.size(), text.size()});
    return;
  }
  for (size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    visit({at, at + literal_.size()});
  }
}

std::string replace_all(const Pattern& pattern, std::string_view text, std::string_view content) {
  std::string out;
  size_t done = 0;
  pattern.each_match(text, [&](Span match) {
    out.append(text.substr(done, match.begin - done)).append(content);
    done = match.end;
    check_growth("Replace", text.size(), out.size());
  });
  out.append(text.substr(done));
  return out;
}

}  // namespace ashlar::text
