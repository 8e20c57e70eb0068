#include "ashlar/text/jinja/access.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/format.h"
#include "ashlar/text/jinja/number_format.h"
#include "ashlar/text/jinja/operators.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"

#include <algorithm>
#include <charconv>

namespace ashlar::text::jinja {
namespace {

std::optional<int64_t> decimal_index(std::string_view text) {
  int64_t index = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, index);
  if (text.empty() || stop != end || error != std::errc() || index < 0) return std::nullopt;
  return index;
}

constexpr int kMaxFieldNesting = 2;  // as string.Formatter

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Value& format, const Arguments& arguments)
      : runtime_(runtime), escape_(format.is_markup()), arguments_(arguments) {}

  // `nesting`: a field's specification may hold fields itself, to this depth.
  std::string run(std::string_view text, int nesting) {
    if (nesting > kMaxFieldNesting) fault("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      runtime_.step();
      const size_t brace = std::min(text.find_first_of("{}", at), text.size());
      append(out, text.substr(at, brace - at));
      at = brace;
      if (at == text.size()) break;
      if (at + 1 < text.size() && text[at + 1] == text[at]) {
        out += text[at];
        at += 2;
      } else if (text[at] == '}') {
        fault("Single '}}' encountered in format string");
      } else {
        const size_t end = field_end(text, at);
        append(out, field(text.substr(at + 1, end - at - 1), nesting));
        at = end + 1;
      }
    }
    return out;
  }

 private:
  void append(std::string& out, std::string_view text) {
    runtime_.pay_bytes(text.size());
    out += text;
  }

  static size_t field_end(std::string_view text, size_t open) {
    int depth = 0;
    for (size_t at = open; at < text.size(); ++at) {
      if (text[at] == '{') ++depth;
      if (text[at] == '}' && --depth == 0) return at;
    }
    fault("expected '}}' before end of string");
  }

  std::string field(std::string_view field, int nesting) {
    const size_t name_end = std::min(field.find_first_of("!:"), field.size());
    Value value = lookup(field.substr(0, name_end));
    std::string_view rest = field.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        fault("expected ':' after conversion specifier");
      }
      value = convert(value, rest[1]);
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    const std::string spec = run(rest, nesting + 1);
    if (!spec.empty()) return escaped(format_value(runtime_, value, parse_format_spec(spec)));
    return value.is_markup() ? value.string() : escaped(str(runtime_, value));
  }

  std::string escaped(std::string text) const { return escape_ ? escape_html(text) : text; }

  Value convert(const Value& value, char conversion) {
    switch (conversion) {
      case 's':
        return Value(str(runtime_, value));
      case 'r':
      case 'a':
        return Value(repr(runtime_, value));
      default:
        fault("Unknown conversion specifier '{}'", conversion);
    }
  }

  // "name.attribute[item]", the name may be a position or empty for the next one.
  Value lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      if (path[0] == '.') {
        const size_t stop = std::min(path.find_first_of(".[", 1), path.size());
        value = get_attribute(runtime_, value, path.substr(1, stop - 1));
        path.remove_prefix(stop);
      } else {
        const size_t stop = path.find(']');
        if (path[0] != '[' || stop == path.npos) fault("Missing ']' in format string");
        const std::string_view key = path.substr(1, stop - 1);
        const std::optional<int64_t> index = decimal_index(key);
        value = get_item(runtime_, value, index ? Value(*index) : Value(key));
        path.remove_prefix(stop + 1);
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    std::optional<int64_t> index = decimal_index(name);
    if (name.empty()) {
      if (numbered_) fault("cannot switch from manual field specification to automatic numbering");
      automatic_ = true;
      index = next_++;
    } else if (index) {
      if (automatic_) fault("cannot switch from automatic field numbering to manual specification");
      numbered_ = true;
    }
    if (index) {
      if (*index >= static_cast<int64_t>(arguments_.positional.size())) {
        fault("Replacement index {} out of range for positional args tuple", *index);
      }
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fault("format has no argument named {}", in_quotes(name));
  }

  Runtime& runtime_;
  const bool escape_;
  const Arguments& arguments_;
  int64_t next_ = 0;
  bool automatic_ = false, numbered_ = false;
};

}  // namespace

std::string format_braces(Runtime& runtime, const Value& format, const Arguments& arguments) {
  return BraceFormatter(runtime, format, arguments).run(format.string(), 0);
}

}  // namespace ashlar::text::jinja
