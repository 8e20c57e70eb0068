#include "ashlar/data/example.h"

#include "ashlar/base/error.h"
#include "ashlar/base/json.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace ashlar::data {
namespace {

using nlohmann::ordered_json;  // a template may print an object: its keys keep their order

class LineParser {
 public:
  LineParser(const Encoder& encoder, const std::string& where) : encoder_(encoder), where_(where) {}

  std::vector<Example> parse(std::string_view text) {
    const ordered_json line = parse_json_line(text);
    ASHLAR_CHECK(line.is_object(), "{}: {} stands where an object should be", where_,
                 line.type_name());
    if (line.contains("messages")) return conversation(list(line, "messages"), 0, tools(line));
    if (line.contains("prompt") && line.contains("completion")) return completion(line);
    if (line.contains("text")) return {{{{string(line, "text"), true}}}};
    std::vector<std::string> keys;
    for (const auto& [key, value] : line.items()) keys.push_back(fmt::format("\"{}\"", key));
    fail("{}: no \"text\", no \"messages\", no \"prompt\" and \"completion\"; the line has {}",
         where_, keys.empty() ? "no keys" : fmt::format("{}", fmt::join(keys, ", ")));
  }

 private:
  // parse_json() knows no file of many lines: it calls every one of ours line 1.
  ordered_json parse_json_line(std::string_view text) const {
    try {
      return parse_json<ordered_json>(text, where_);
    } catch (const Error& error) {
      const std::string message = error.what();
      const std::string place = where_ + ":1:";
      if (!message.starts_with(place)) throw;
      fail("{}:{}", where_, message.substr(place.size()));
    }
  }

  const ordered_json& list(const ordered_json& line, const char* key) const {
    const ordered_json& value = line.at(key);
    ASHLAR_CHECK(value.is_array() && !value.empty(), "{}: \"{}\" is {}, not a list of messages",
                 where_, key, value.is_array() ? "empty" : value.type_name());
    return value;
  }

  std::string string(const ordered_json& line, const char* key) const {
    const ordered_json& value = line.at(key);
    ASHLAR_CHECK(value.is_string(), "{}: \"{}\" is {}, not a string", where_, key,
                 value.type_name());
    return value.get<std::string>();
  }

  std::string tools(const ordered_json& line) const {
    const auto found = line.find("tools");
    if (found == line.end() || found->is_null()) return "";
    ASHLAR_CHECK(found->is_array(), "{}: \"tools\" is {}, not a list", where_, found->type_name());
    return found->dump();
  }

  std::vector<Example> completion(const ordered_json& line) const {
    const bool lists = line.at("prompt").is_array() || line.at("completion").is_array();
    if (!lists) {
      const std::string answer = string(line, "completion");
      ASHLAR_CHECK(!answer.empty(), "{}: \"completion\" is empty: nothing to learn", where_);
      return {{{{string(line, "prompt"), false}, {answer, true}}}};
    }
    ordered_json messages = list(line, "prompt");
    const size_t first = messages.size();
    for (const ordered_json& message : list(line, "completion")) messages.push_back(message);
    return conversation(messages, first, tools(line));
  }

  std::vector<Example> conversation(const ordered_json& messages, size_t first_counted,
                                    const std::string& tools) const {
    bool any = false;
    for (size_t i = 0; i < messages.size(); ++i) {
      check_message(messages[i], i);
      any |= i >= first_counted && is_answer(messages[i]);
    }
    ASHLAR_CHECK(any, "{}: no message{} has the role \"assistant\": nothing to learn", where_,
                 first_counted > 0 ? " of \"completion\"" : "");
    const RenderedChat whole = render(messages, messages.size(), tools, false);
    if (whole.answers.empty()) return compare_turns(messages, first_counted, tools);
    const size_t from =
        first_counted == 0 ? 0 : render(messages, first_counted, tools, false).text.size();
    return {by_marks(whole, from)};
  }

  // Counts the spans that begin at byte `from` or later.
  static Example by_marks(const RenderedChat& chat, size_t from) {
    Example example{.segments = {}, .framed = true};
    size_t done = 0;
    for (const RenderedChat::Span& span : chat.answers) {
      if (span.begin < from) continue;
      example.segments.push_back({chat.text.substr(done, span.begin - done), false});
      example.segments.push_back({chat.text.substr(span.begin, span.end - span.begin), true});
      done = span.end;
    }
    example.segments.push_back({chat.text.substr(done), false});
    return example;
  }

  struct Answer {
    std::string before, upto;  // the text when the model starts to answer, and when it is done
    std::string text() const { return upto.substr(before.size()); }
  };

  std::vector<Example> compare_turns(const ordered_json& messages, size_t first_counted,
                                     const std::string& tools) const {
    std::vector<Answer> answers;
    for (size_t i = first_counted; i < messages.size(); ++i) {
      if (!is_answer(messages[i])) continue;
      answers.push_back(
          {render(messages, i, tools, true).text, render(messages, i + 1, tools, false).text});
      ASHLAR_CHECK(answers.back().upto.starts_with(answers.back().before),
                   "{}: the chat template starts message {} otherwise than its generation prompt "
                   "does, so what the model learns is not what it will be asked; use a template "
                   "whose generation prompt is the start of an answer",
                   where_, i + 1);
    }
    Example whole{.segments = {}, .framed = true};
    size_t done = 0;
    for (const Answer& answer : answers) {
      if (!answers.back().upto.starts_with(answer.upto)) return one_each(answers);
      whole.segments.push_back({answer.before.substr(done), false});
      whole.segments.push_back({answer.text(), true});
      done = answer.upto.size();
    }
    return {std::move(whole)};
  }

  static std::vector<Example> one_each(const std::vector<Answer>& answers) {
    std::vector<Example> examples;
    for (const Answer& answer : answers) {
      examples.push_back(
          {.segments = {{answer.before, false}, {answer.text(), true}}, .framed = true});
    }
    return examples;
  }

  static bool is_answer(const ordered_json& message) { return message.at("role") == "assistant"; }

  void check_message(const ordered_json& message, size_t index) const {
    ASHLAR_CHECK(message.is_object(), "{}: message {} is {}, not an object", where_, index + 1,
                 message.type_name());
    const auto role = message.find("role");
    ASHLAR_CHECK(role != message.end() && role->is_string(), "{}: message {} has no \"role\"",
                 where_, index + 1);
    ASHLAR_CHECK(message.contains("content") || message.contains("tool_calls"),
                 "{}: message {} has no \"content\"", where_, index + 1);
  }

  RenderedChat render(const ordered_json& messages, size_t count, const std::string& tools,
                      bool add_generation_prompt) const {
    ordered_json first = ordered_json::array();
    for (size_t i = 0; i < count; ++i) first.push_back(messages[i]);
    try {
      return encoder_.render_chat(first.dump(), tools, add_generation_prompt);
    } catch (const Error& error) {
      fail("{}: {}", where_, error.what());
    }
  }

  const Encoder& encoder_;
  const std::string& where_;
};

}  // namespace

std::vector<Example> parse_example(std::string_view line, const Encoder& encoder,
                                   const std::string& where) {
  return LineParser(encoder, where).parse(line);
}

}  // namespace ashlar::data
