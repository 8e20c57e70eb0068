#include "ashlar/text/jinja/links.h"

#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ashlar::text::jinja {
namespace {

bool is_word(char32_t c) { return c == '_' || is_alnum(c); }
bool is_label(char32_t c) { return c == '%' || c == '-' || is_word(c); }
bool is_idna(char32_t c) { return c == '%' || is_word(c); }
bool is_mail_host(char32_t c) { return c == '.' || c == '-' || is_word(c); }

// Letters that Python takes for one another without regard to case, as the ASCII one.
char32_t folded(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c + ('a' - 'A');
  if (c == 0x130 || c == 0x131) return 'i';
  if (c == 0x17F) return 's';
  return c == 0x212A ? 'k' : c;
}

bool is_letter(char32_t c) { return folded(c) >= 'a' && folded(c) <= 'z'; }
bool is_hex(char32_t c) { return is_decimal(c) || (folded(c) >= 'a' && folded(c) <= 'f'); }

// A word as code points: the patterns below count them.
using Word = std::u32string_view;

bool starts_with(Word text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (folded(text[i]) != static_cast<char32_t>(prefix[i])) return false;
  }
  return true;
}

// How many code points at the start are `wanted`.
template <bool (*wanted)(char32_t)>
size_t run(Word text) {
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), wanted) - text.begin());
}

// (:port)? ([/?#] anything)?
bool is_after_host(Word text) {
  if (text.starts_with(U':')) {
    const size_t digits = run<is_decimal>(text.substr(1));
    if (digits < 1 || digits > 5) return false;
    text.remove_prefix(1 + digits);
  }
  return text.empty() || text[0] == '/' || text[0] == '?' || text[0] == '#';
}

bool is_within(size_t count, size_t least, size_t most) { return count >= least && count <= most; }

// (label.)* and a top level of letters, or xn--...
bool is_any_host(Word text) {
  while (true) {
    const size_t letters = run<is_letter>(text);
    if (is_within(letters, 2, 63) && is_after_host(text.substr(letters))) return true;
    if (starts_with(text, "xn--")) {
      const Word name = text.substr(4);
      const size_t size = run<is_idna>(name);
      if (is_within(size, 2, 59) && is_after_host(name.substr(size))) return true;
    }
    const size_t label = run<is_label>(text);
    if (label == 0 || label == text.size() || text[label] != '.') return false;
    text.remove_prefix(label + 1);
  }
}

// (label.)+ and one of the first top levels.
bool is_known_host(Word text) {
  constexpr std::array<std::string_view, 8> kTopLevels = {"com", "net", "int",  "edu",
                                                          "gov", "org", "info", "mil"};
  while (true) {
    const size_t label = run<is_label>(text);
    if (!is_within(label, 2, 63) || label == text.size() || text[label] != '.') return false;
    text.remove_prefix(label + 1);
    for (const std::string_view top : kTopLevels) {
      if (starts_with(text, top) && is_after_host(text.substr(top.size()))) return true;
    }
  }
}

bool is_ipv4(Word text) {
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (!text.starts_with(U'.')) return false;
      text.remove_prefix(1);
    }
    const size_t digits = run<is_decimal>(text);
    if (!is_within(digits, 1, 3)) return false;
    text.remove_prefix(digits);
  }
  return is_after_host(text);
}

// \[ ([hex]{0,4}:){2} ([hex]{0,4}:?){1,6} ]
bool is_ipv6(Word text) {
  if (!text.starts_with(U'[')) return false;
  text.remove_prefix(1);
  for (int group = 0; group < 8; ++group) {
    text.remove_prefix(std::min<size_t>(run<is_hex>(text), 4));
    if (text.starts_with(U':')) {
      text.remove_prefix(1);
    } else if (group < 2) {
      return false;
    }
  }
  return text.starts_with(U']') && is_after_host(text.substr(1));
}

bool is_web_address(Word text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!starts_with(text, scheme)) continue;
    const Word host = text.substr(scheme.size());
    return is_any_host(host) || is_ipv4(host) || is_ipv6(host);
  }
  return (starts_with(text, "www.") && is_any_host(text.substr(4))) || is_known_host(text);
}

// anything@word.word
bool is_mail_address(Word text) {
  const size_t at = text.rfind(U'@');
  if (at == Word::npos || at == 0) return false;
  const Word host = text.substr(at + 1);
  const size_t dot = host.rfind(U'.');
  if (dot == Word::npos || dot == 0 || dot + 1 == host.size() || !is_word(host[0])) return false;
  return run<is_mail_host>(host) == host.size() &&
         run<is_word>(host.substr(dot + 1)) == host.size() - dot - 1;
}

size_t count_of(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; ++count) {
    at = text.find(part, at + part.size());
  }
  return count;
}

struct Parts {
  std::string_view head, middle, tail;
};

// Brackets before the address, brackets and points behind it; those that it opens belong to it.
Parts split_word(std::string_view word) {
  size_t begin = 0;
  while (begin < word.size()) {
    if (word[begin] == '(' || word[begin] == '<') {
      ++begin;
    } else if (word.substr(begin).starts_with("&lt;")) {
      begin += 4;
    } else {
      break;
    }
  }
  size_t end = word.size();
  while (end > begin) {
    const std::string_view left = word.substr(begin, end - begin);
    if (std::string_view(")>.,\n").find(left.back()) != std::string_view::npos) {
      --end;
    } else if (left.ends_with("&gt;")) {
      end -= 4;
    } else {
      break;
    }
  }
  for (const auto& [open, close] :
       {std::pair<std::string_view, std::string_view>{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}}) {
    const std::string_view middle = word.substr(begin, end - begin);
    const size_t opened = count_of(middle, open);
    if (opened <= count_of(middle, close)) continue;
    const size_t moved = std::min(opened, count_of(word.substr(end), close));
    for (size_t i = 0; i < moved; ++i) end = word.find(close, end) + close.size();
  }
  return {word.substr(0, begin), word.substr(begin, end - begin), word.substr(end)};
}

// At most `longest` code points, with points behind where that leaves some out; as Python slices,
// a negative number is one from the end.
std::string shown(std::string_view address, std::optional<int64_t> longest) {
  if (!longest) return std::string(address);
  const auto size = static_cast<int64_t>(code_points(address));
  if (size <= *longest) return std::string(address);
  const int64_t kept = *longest < 0 ? std::max<int64_t>(size + *longest, 0) : *longest;
  return std::string(address.substr(0, byte_offset(address, static_cast<size_t>(kept)))) + "...";
}

std::string link_word(std::string_view word, const LinkStyle& style) {
  const std::string href = "<a href=\"";
  std::u32string points;
  for (size_t at = 0; at < word.size();) points += next_code_point(word, at);
  if (is_web_address(points)) {
    const bool whole = word.starts_with("https://") || word.starts_with("http://");
    return href + (whole ? "" : "https://") + std::string(word) + "\"" + style.attributes + ">" +
           shown(word, style.longest) + "</a>";
  }
  const std::string text(word);
  if (word.starts_with("mailto:") && is_mail_address(Word(points).substr(7))) {
    return href + text + "\">" + text.substr(7) + "</a>";
  }
  if (!word.starts_with("www.") && !word.starts_with('@') &&
      word.find(':') == std::string_view::npos && is_mail_address(points)) {
    return href + "mailto:" + text + "\">" + text + "</a>";
  }
  for (const std::string& scheme : style.schemes) {
    if (word != scheme && word.starts_with(scheme)) {
      return href + text + "\"" + style.attributes + ">" + text + "</a>";
    }
  }
  return text;
}

}  // namespace

std::string link_addresses(std::string_view escaped, const LinkStyle& style) {
  std::string out;
  for (size_t at = 0; at < escaped.size();) {
    const size_t begin = at;
    size_t end = at;
    while (at < escaped.size() && !is_space(next_code_point(escaped, at))) end = at;
    if (end > begin) {
      const Parts parts = split_word(escaped.substr(begin, end - begin));
      out += parts.head;
      out += link_word(parts.middle, style);
      out += parts.tail;
    }
    out += escaped.substr(end, at - end);
  }
  return out;
}

bool is_uri_scheme(std::string_view text) {
  size_t at = 0, count = 0;
  while (at < text.size()) {
    size_t next = at;
    const char32_t c = next_code_point(text, next);
    if (!is_word(c) && c != '.' && c != '+' && c != '-') break;
    at = next;
    ++count;
  }
  const std::string_view rest = text.substr(at);
  return count >= 2 && (rest == ":" || rest == ":/" || rest == "://");
}

}  // namespace ashlar::text::jinja
