#include "ashlar/text/jinja/pretty_print.h"

#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/text_ops.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ashlar::text::jinja {
namespace {

constexpr int64_t kWidth = 80;

int64_t width_of(std::string_view text) { return static_cast<int64_t>(code_points(text)); }

// By key; keys that have no order by the names of their types.
std::vector<Dict::Entry> sorted_entries(Runtime& runtime, const Dict& dict) {
  std::vector<Dict::Entry> entries = dict.entries();
  runtime.pay_items(2 * entries.size());
  const auto is_before = [&](const Dict::Entry& left, const Dict::Entry& right) {
    runtime.step(left.first.weight() + right.first.weight());
    try {
      return values_less(left.first, right.first);
    } catch (const Fault&) {
      return type_name(left.first) < type_name(right.first);
    }
  };
  std::stable_sort(entries.begin(), entries.end(), is_before);
  return entries;
}

bool is_plain_text(const Value& value) { return value.is_string() && !value.is_markup(); }

class Printer {
 public:
  explicit Printer(Runtime& runtime) : runtime_(runtime) {}

  // `indent` columns are taken before the value, `allowance` are needed behind it.
  void print(const Value& value, int64_t indent, int64_t allowance, int level) {
    const std::string line = on_one_line(value);
    if (width_of(line) <= kWidth - indent - allowance) {
      write(line);
    } else if (value.is_dict()) {
      print_dict(value.dict(), indent, allowance, level);
    } else if (value.is_sequence()) {
      print_items(value, indent, allowance, level);
    } else if (is_plain_text(value)) {
      print_text(value.string(), line, indent, allowance, level == 0);
    } else {
      write(line);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write(std::string_view text) {
    runtime_.pay_bytes(text.size());
    out_ += text;
  }
  void new_line(int64_t indent) {
    runtime_.pay_bytes(static_cast<uint64_t>(indent) + 1);
    out_ += '\n';
    out_.append(static_cast<size_t>(indent), ' ');
  }

  // repr() with the keys of dicts sorted.
  std::string on_one_line(const Value& value) {
    runtime_.step();
    if (value.is_dict()) {
      std::string out = "{";
      for (const auto& [key, item] : sorted_entries(runtime_, value.dict())) {
        if (out.size() > 1) out += ", ";
        out += on_one_line(key) + ": " + on_one_line(item);
      }
      runtime_.pay_bytes(out.size());
      return out + "}";
    }
    if (!value.is_sequence()) return repr(runtime_, value);
    std::string out(1, value.is_list() ? '[' : '(');
    for (const Value& item : value.items()) {
      if (out.size() > 1) out += ", ";
      out += on_one_line(item);
    }
    runtime_.pay_bytes(out.size());
    if (value.is_list()) return out + "]";
    return out + (value.items().size() == 1 ? ",)" : ")");
  }

  void print_dict(const Dict& dict, int64_t indent, int64_t allowance, int level) {
    write("{");
    size_t left = dict.size();
    for (const auto& [key, item] : sorted_entries(runtime_, dict)) {
      const std::string name = on_one_line(key);
      write(name);
      write(": ");
      --left;
      print(item, indent + 1 + width_of(name) + 2, left == 0 ? allowance + 1 : 1, level + 1);
      if (left == 0) break;
      write(",");
      new_line(indent + 1);
    }
    write("}");
  }

  void print_items(const Value& value, int64_t indent, int64_t allowance, int level) {
    const std::string_view end = value.is_list() ? "]" : value.items().size() == 1 ? ",)" : ")";
    write(value.is_list() ? "[" : "(");
    size_t left = value.items().size();
    for (const Value& item : value.items()) {
      --left;
      print(item, indent + 1, left == 0 ? allowance + width_of(end) : 1, level + 1);
      if (left == 0) break;
      write(",");
      new_line(indent + 1);
    }
    write(end);
  }

  // As literals that follow one another, a line of the text each, or as many words of it as fit.
  void print_text(const std::string& text, const std::string& whole, int64_t indent,
                  int64_t allowance, bool outermost) {
    if (outermost) {
      ++indent;
      ++allowance;
    }
    const int64_t width = kWidth - indent;
    std::vector<std::string> literals;
    const std::vector<std::string_view> lines = split_lines(text, true);
    for (size_t i = 0; i < lines.size(); ++i) {
      const int64_t behind = i + 1 == lines.size() ? allowance : 0;
      std::string literal = in_quotes(lines[i]);
      runtime_.pay_bytes(2 * literal.size());
      if (width_of(literal) <= width - behind) {
        literals.push_back(std::move(literal));
      } else {
        add_words(lines[i], width, behind, literals);
      }
    }
    if (literals.size() == 1) return write(whole);
    if (outermost) write("(");
    for (size_t i = 0; i < literals.size(); ++i) {
      if (i > 0) new_line(indent);
      write(literals[i]);
    }
    if (outermost) write(")");
  }

  static void add_words(std::string_view line, int64_t width, int64_t behind,
                        std::vector<std::string>& literals) {
    std::string_view taken = line.substr(0, 0);
    for (size_t at = 0; at < line.size();) {
      const size_t begin = at;
      at = word_end(line, at);
      const std::string_view longer(taken.data(), taken.size() + at - begin);
      if (width_of(in_quotes(longer)) <= width - (at == line.size() ? behind : 0)) {
        taken = longer;
        continue;
      }
      if (!taken.empty()) literals.push_back(in_quotes(taken));
      taken = line.substr(begin, at - begin);
    }
    if (!taken.empty()) literals.push_back(in_quotes(taken));
  }

  // Behind the white space that follows the word at `at`.
  static size_t word_end(std::string_view line, size_t at) {
    bool spaces = false;
    while (at < line.size()) {
      size_t next = at;
      const bool space = is_space(next_code_point(line, next));
      if (spaces && !space) break;
      spaces = space;
      at = next;
    }
    return at;
  }

  Runtime& runtime_;
  std::string out_;
};

}  // namespace

std::string pretty_print(Runtime& runtime, const Value& value) {
  Printer printer(runtime);
  printer.print(value, 0, 0, 0);
  return printer.take();
}

}  // namespace ashlar::text::jinja
