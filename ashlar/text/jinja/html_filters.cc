// The filters that make or read HTML and addresses of the web.
#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/filters.h"
#include "ashlar/text/jinja/html_text.h"
#include "ashlar/text/jinja/links.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <set>
#include <string>
#include <utility>

namespace ashlar::text::jinja {
namespace {

// The text of a value for HTML: markup stays as it is.
std::string escaped(Runtime& runtime, const Value& value) {
  const std::string text = str(runtime, value);
  runtime.pay_bytes(5 * text.size());
  return value.is_markup() ? text : escape_html(text);
}

Value strip_tags_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("striptags", arguments);
  const std::string text = str(runtime, value);
  runtime.pay_bytes(3 * text.size());
  runtime.pay_scan(text.size());
  return Value(strip_tags(text));
}

std::string quoted_for_url(Runtime& runtime, const Value& value, bool in_query) {
  const std::string text = str(runtime, value);
  runtime.pay_bytes(3 * text.size());
  constexpr std::string_view kKept = "_.-~";
  std::string out;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || kKept.find(c) != std::string_view::npos || (c == '/' && !in_query)) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// A text as a part of a path, a dict or pairs as a query.
Value url_encode(Runtime& runtime, const Value& value, const Arguments& arguments) {
  expect_no_arguments("urlencode", arguments);
  if (value.is_string() || !is_iterable(value)) {
    return Value(quoted_for_url(runtime, value, false));
  }
  std::string out;
  const auto add = [&](const Value& key, const Value& item, bool first) {
    if (!first) out += '&';
    out += quoted_for_url(runtime, key, true) + "=" + quoted_for_url(runtime, item, true);
  };
  bool first = true;
  if (value.is_dict()) {
    for (const auto& [key, item] : value.dict().entries()) {
      add(key, item, std::exchange(first, false));
    }
    return Value(std::move(out));
  }
  for (const Value& pair : iterate(runtime, value)) {
    const std::vector<Value> items = iterate(runtime, pair);
    if (items.size() != 2) fault("urlencode: an element has length {}, wanted 2", items.size());
    add(items[0], items[1], std::exchange(first, false));
  }
  return Value(std::move(out));
}

void check_attribute_name(const Value& key) {
  if (!key.is_string()) fault("xmlattr: a key is a {}, wanted a str", type_name(key));
  const std::string& name = key.string();
  for (size_t at = 0; at < name.size();) {
    const char32_t c = next_code_point(name, at);
    if (is_space(c) || c == '/' || c == '>' || c == '=') {
      fault("Invalid character in attribute name: {}", in_quotes(name));
    }
  }
}

Value xml_attributes(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("xmlattr", arguments, {"autospace"});
  if (value.is_undefined()) fault("{}", value.undefined_reason());
  if (!value.is_dict()) fault("xmlattr: value is a {}, wanted a dict", type_name(value));
  std::string out;
  for (const auto& [key, item] : value.dict().entries()) {
    if (item.is_none() || item.is_undefined()) continue;
    check_attribute_name(key);
    runtime.pay_scan(key.string().size());
    if (!out.empty()) out += ' ';
    out += escaped(runtime, key) + "=\"" + escaped(runtime, item) + "\"";
  }
  if (!out.empty() && bound.truth(0, true)) out.insert(0, " ");
  return Value(std::move(out));
}

uint64_t count_words(const std::string& text) {
  uint64_t spaces = 0;
  for (size_t at = 0; at < text.size();) spaces += is_space(next_code_point(text, at)) ? 1 : 0;
  return spaces + 1;
}

// The words of `rel` once each in order, 'noopener' among them.
std::string link_relations(const BoundArguments& bound, size_t rel, size_t nofollow) {
  std::set<std::string> words = {"noopener"};
  if (bound.truth(nofollow, false)) words.insert("nofollow");
  if (bound.truth(rel, false)) {
    for (const std::string_view word : split(bound.string(rel), std::nullopt, -1)) {
      words.emplace(word);
    }
  }
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

Value urlize(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const BoundArguments bound("urlize", arguments,
                             {"trim_url_limit", "nofollow", "target", "rel", "extra_schemes"});
  LinkStyle style;
  if (bound.has_not_none(0)) style.longest = bound.integer(0);
  style.attributes = " rel=\"" + escape_html(link_relations(bound, 3, 1)) + "\"";
  if (bound.truth(2, false)) style.attributes += " target=\"" + escaped(runtime, bound[2]) + "\"";
  if (bound.has_not_none(4)) {
    for (const Value& scheme : iterate(runtime, bound[4])) {
      if (!scheme.is_string()) {
        fault("urlize: a scheme is a {}, wanted a str", type_name(scheme));
      }
      if (!is_uri_scheme(scheme.string())) {
        fault("{} is not a valid URI scheme prefix.", in_quotes(scheme.string()));
      }
      style.schemes.push_back(scheme.string());
    }
  }
  const std::string text = escaped(runtime, value);
  // Each word may become a link, which has its text twice, and is compared with each scheme.
  const uint64_t words = count_words(text);
  runtime.pay_scan(text.size() + words * 64 * style.schemes.size());
  runtime.pay_bytes(12 * text.size() + words * (style.attributes.size() + 64));
  return Value(link_addresses(text, style));
}

}  // namespace

const FilterTable& html_filters() {
  static const FilterTable kFilters = {
      {"striptags", strip_tags_filter},
      {"urlencode", url_encode},
      {"urlize", urlize},
      {"xmlattr", xml_attributes},
  };
  return kFilters;
}

}  // namespace ashlar::text::jinja
