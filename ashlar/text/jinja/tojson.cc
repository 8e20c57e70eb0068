#include "ashlar/text/jinja/tojson.h"

#include "ashlar/text/jinja/comparison.h"
#include "ashlar/text/jinja/dict.h"
#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/python_text.h"
#include "ashlar/text/jinja/runtime.h"
#include "ashlar/text/jinja/unicode.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace ashlar::text::jinja {
namespace {

std::string json_float(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return float_text(number);
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value) {
    const Nesting nesting(runtime_);
    runtime_.step();
    switch (value.kind()) {
      case Kind::kNone:
        return append("null");
      case Kind::kBool:
        return append(value.boolean() ? "true" : "false");
      case Kind::kInt:
        return append(fmt::to_string(value.integer()));
      case Kind::kFloat:
        return append(json_float(value.number()));
      case Kind::kString:
        return write_string(value.string());
      case Kind::kList:
      case Kind::kTuple:
        return write_list(value.items());
      case Kind::kDict:
        return write_dict(value.dict());
      default:
        fault("tojson: object of type {} has no JSON form", type_name(value));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void append(std::string_view text) {
    runtime_.pay_bytes(text.size());
    out_ += text;
  }

  void new_line() {
    if (!style_.indent) return;
    append("\n");
    for (int i = 0; i < level_; ++i) append(*style_.indent);
  }

  void write_list(const std::vector<Value>& items) {
    if (items.empty()) return append("[]");
    append("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    append("]");
  }

  void write_dict(const Dict& dict) {
    if (dict.empty()) return append("{}");
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      runtime_.step(static_cast<int64_t>(entries.size()) * 8);
      std::stable_sort(entries.begin(), entries.end(), [](const auto* left, const auto* right) {
        return values_less(left->first, right->first);
      });
    }
    append("{");
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      new_line();
      write_key(entries[i]->first);
      append(style_.key_separator);
      write(entries[i]->second);
    }
    --level_;
    new_line();
    append("}");
  }

  void write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return write_string(key.string());
      case Kind::kNone:
        return append("\"null\"");
      case Kind::kBool:
        return append(key.boolean() ? "\"true\"" : "\"false\"");
      case Kind::kInt:
        return append(fmt::format("\"{}\"", key.integer()));
      case Kind::kFloat:
        return append(fmt::format("\"{}\"", json_float(key.number())));
      default:
        fault("tojson: a key is a {}, wanted str, int, float, bool or None", type_name(key));
    }
  }

  void write_string(std::string_view text) {
    runtime_.pay_bytes(text.size() + 2);
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const char32_t code = next_code_point(text, at);
      switch (code) {
        case '"':
          out_ += "\\\"";
          break;
        case '\\':
          out_ += "\\\\";
          break;
        case '\n':
          out_ += "\\n";
          break;
        case '\r':
          out_ += "\\r";
          break;
        case '\t':
          out_ += "\\t";
          break;
        case '\f':
          out_ += "\\f";
          break;
        case '\b':
          out_ += "\\b";
          break;
        default:
          if (code < 0x20 || (style_.ensure_ascii && code > 0x7E)) {
            write_escape(code);
          } else {
            out_ += text.substr(begin, at - begin);
          }
      }
    }
    out_ += '"';
  }

  void write_escape(char32_t code) {
    if (code == 0x7F) {
      out_ += '\x7F';
    } else if (code < 0x10000) {
      out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    } else {
      const auto beyond = static_cast<uint32_t>(code) - 0x10000;
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (beyond >> 10), 0xDC00 + (beyond & 0x3FF));
    }
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

}  // namespace

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value);
  return writer.take();
}

}  // namespace ashlar::text::jinja
