// What a Split or Replace looks for: {"String": "x"} or {"Regex": "x"} in tokenizer.json.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/regex.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar::text {

class Pattern {
 public:
  static Pattern from_json(JsonView json);
  static Pattern literal(std::string text);

  // All matches that are not empty, left to right, without overlap. text is well-formed UTF-8.
  void each_match(std::string_view text, const std::function<void(Span)>& visit) const;

  // The text searched for, when it is no regular expression.
  const std::string* literal_text() const { return regex_ ? nullptr : &literal_; }
  // The regular expression's source; nullptr for a literal.
  const std::string* regex_text() const { return regex_ ? &regex_->pattern() : nullptr; }

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

// text with every match of the pattern replaced by content.
std::string replace_all(const Pattern& pattern, std::string_view text, std::string_view content);

}  // namespace ashlar::text
