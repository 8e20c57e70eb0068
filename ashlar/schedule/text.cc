#include "ashlar/schedule/text.h"

#include "ashlar/base/error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace ashlar::schedule {
namespace {

enum class Microbatch : uint8_t { kNone, kMay, kMust };
struct Form {
  Kind kind;
  std::string_view word;
  Microbatch microbatch;
  char peer;  // what stands before the peer stage, or 0
};
constexpr std::array kForms = {
    Form{Kind::kForward, "F", Microbatch::kMust, 0},
    Form{Kind::kInputGrad, "B", Microbatch::kMust, 0},
    Form{Kind::kWeightGrad, "W", Microbatch::kMust, 0},
    Form{Kind::kBackward, "BW", Microbatch::kMust, 0},
    Form{Kind::kSendActivation, "SA", Microbatch::kMust, '>'},
    Form{Kind::kRecvActivation, "RA", Microbatch::kMust, '<'},
    Form{Kind::kSendGradient, "SG", Microbatch::kMust, '>'},
    Form{Kind::kRecvGradient, "RG", Microbatch::kMust, '<'},
    Form{Kind::kGather, "gather", Microbatch::kNone, 0},
    Form{Kind::kReduce, "reduce", Microbatch::kNone, 0},
    Form{Kind::kEvict, "evict", Microbatch::kMay, 0},
    Form{Kind::kLoad, "load", Microbatch::kMay, 0},
    Form{Kind::kStep, "step", Microbatch::kNone, 0},
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// One line of the text, read from left to right; errors name the column of the current word.
class Line {
 public:
  Line(std::string_view text, std::string_view where, int number)
      : text_(text.substr(0, text.find('#'))), where_(where), number_(number) {}

  bool at_end() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ == text_.size();
  }

  // Up to the next space; at_end() has skipped those before.
  std::string_view word() {
    word_ = at_;
    while (at_ < text_.size() && !is_space(text_[at_])) ++at_;
    return text_.substr(word_, at_ - word_);
  }
  std::string_view rest() {
    word_ = at_;
    at_ = text_.size();
    std::string_view rest = text_.substr(word_);
    while (!rest.empty() && is_space(rest.back())) rest.remove_suffix(1);
    return rest;
  }

  size_t column() const { return word_ + 1; }  // of the current word

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    ashlar::fail("{}:{}:{}: {}", where_, number_, column(),
                 fmt::format(format, std::forward<Args>(args)...));
  }

  int number(std::string_view text, const char* what) const {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) {
      fail("'{}' is no {}", text, what);
    }
    return value;
  }

 private:
  std::string_view text_, where_;
  size_t at_ = 0, word_ = 0;
  int number_;
};

// Takes what the predicate accepts from the front of `text`.
template <typename Accept>
std::string_view take(std::string_view& text, Accept accept) {
  size_t size = 0;
  while (size < text.size() && accept(text[size])) ++size;
  const std::string_view front = text.substr(0, size);
  text.remove_prefix(size);
  return front;
}

// A number after `mark`, if that comes next.
std::optional<int> marked(const Line& line, std::string_view& text, char mark, const char* what) {
  if (text.empty() || text[0] != mark) return std::nullopt;
  text.remove_prefix(1);
  return line.number(take(text, is_digit), what);
}

Instruction parse_instruction(const Line& line, const std::string_view word) {
  std::string_view rest = word;
  const std::string_view name = take(rest, is_letter);
  const Form* form = nullptr;
  for (const Form& each : kForms) {
    if (each.word == name) form = &each;
  }
  if (form == nullptr) {
    std::vector<std::string_view> known;
    for (const Form& each : kForms) known.push_back(each.word);
    line.fail("'{}' is no instruction; they are {}", word, fmt::join(known, " "));
  }
  Instruction instruction{form->kind};
  if (const std::string_view digits = take(rest, is_digit); !digits.empty()) {
    if (form->microbatch == Microbatch::kNone) line.fail("'{}': {} has no microbatch", word, name);
    instruction.microbatch = line.number(digits, "microbatch");
  } else if (form->microbatch == Microbatch::kMust) {
    line.fail("'{}': the microbatch is missing, as in {}0", word, name);
  }
  if (form->kind != Kind::kStep) {
    instruction.chunk = marked(line, rest, '.', "chunk").value_or(0);
  }
  if (form->peer != 0) {
    const std::optional<int> peer = marked(line, rest, form->peer, "stage");
    if (!peer) line.fail("'{}': the peer stage is missing, as in {}0{}1", word, name, form->peer);
    instruction.peer = *peer;
  }
  if (!rest.empty()) line.fail("'{}': '{}' is not understood", word, rest);
  return instruction;
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  Schedule parse() {
    int number = 0;
    for (size_t begin = 0; begin <= text_.size(); ++number) {
      const size_t end = std::min(text_.find('\n', begin), text_.size());
      Line line(text_.substr(begin, end - begin), where_, number + 1);
      if (!line.at_end()) parse_line(line);
      begin = end + 1;
    }
    ASHLAR_CHECK(!name_.empty(), "{}: no line 'schedule NAME'", where_);
    ASHLAR_CHECK(microbatches_ > 0, "{}: no line 'microbatches COUNT'", where_);
    ASHLAR_CHECK(!rank_of_.empty(), "{}: no line 'stages RANK RANK ...'", where_);
    Schedule schedule = empty_schedule(name_, StageMap(std::move(rank_of_)), microbatches_);
    ASHLAR_CHECK(lists_.size() == schedule.ranks.size(),
                 "{}: {} lines 'rank N: ...', but stages are on {} ranks", where_, lists_.size(),
                 schedule.ranks.size());
    schedule.ranks = std::move(lists_);
    return schedule;
  }

 private:
  void parse_line(Line& line) {
    const std::string_view key = line.word();
    if (key == "rank") {
      parse_rank(line);
    } else if (key == "schedule") {
      if (!name_.empty()) line.fail("a second line 'schedule'");
      if (line.at_end()) line.fail("the schedule's name is missing");
      name_ = line.rest();
    } else if (key == "microbatches") {
      if (microbatches_ > 0) line.fail("a second line 'microbatches'");
      if (line.at_end()) line.fail("the count is missing");
      microbatches_ = line.number(line.word(), "count");
      if (microbatches_ == 0) line.fail("at least 1 microbatch is needed");
      if (!line.at_end()) line.fail("'{}': nothing follows the count", line.word());
    } else if (key == "stages") {
      auto& replica = rank_of_.emplace_back();
      while (!line.at_end()) replica.push_back(line.number(line.word(), "rank"));
      if (replica.empty()) line.fail("the rank of each stage is missing");
    } else {
      line.fail("'{}' begins no line; schedule, microbatches, stages, rank do", key);
    }
  }

  void parse_rank(Line& line) {
    if (line.at_end()) line.fail("the rank's number is missing");
    std::string_view number = line.word();
    if (!number.ends_with(':')) line.fail("'{}': a ':' must follow the rank", number);
    number.remove_suffix(1);
    if (line.number(number, "rank") != static_cast<int>(lists_.size())) {
      line.fail("rank {} stands where rank {} should", number, lists_.size());
    }
    auto& list = lists_.emplace_back();
    while (!line.at_end()) {
      const std::string_view word = line.word();
      list.push_back(parse_instruction(line, word));
    }
  }

  std::string_view text_, where_;
  std::string name_;
  int microbatches_ = 0;
  std::vector<std::vector<int>> rank_of_;
  std::vector<InstructionList> lists_;
};

}  // namespace

std::string str(const Instruction& instruction, bool with_chunk) {
  const Form* form = kForms.begin();
  while (form->kind != instruction.kind) ++form;
  std::string text(form->word);
  if (instruction.microbatch >= 0) text += std::to_string(instruction.microbatch);
  if (with_chunk && form->kind != Kind::kStep) text += fmt::format(".{}", instruction.chunk);
  if (form->peer != 0) text += fmt::format("{}{}", form->peer, instruction.peer);
  return text;
}

std::string str(const Schedule& schedule, int rank, const Instruction& instruction) {
  return str(instruction, schedule.stages.chunks(rank).size() > 1 || instruction.chunk != 0);
}

std::string str(const Schedule& schedule) {
  std::string text =
      fmt::format("schedule {}\nmicrobatches {}\n", schedule.name, schedule.microbatches);
  for (int replica = 0; replica < schedule.stages.replicas(); ++replica) {
    text += "stages";
    for (int stage = 0; stage < schedule.stages.stages(); ++stage) {
      text += fmt::format(" {}", schedule.stages.rank(replica, stage));
    }
    text += '\n';
  }
  for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    text += fmt::format("rank {}:", rank);
    for (const Instruction& each : schedule.ranks[rank]) {
      text += ' ' + str(schedule, static_cast<int>(rank), each);
    }
    text += '\n';
  }
  return text;
}

Schedule parse(std::string_view text, std::string_view where) {
  return Parser(text, where).parse();
}

std::string place_of(std::string_view text, int rank, size_t instruction) {
  int number = 1, ranks = 0;
  for (size_t begin = 0; begin <= text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    Line line(text.substr(begin, end - begin), "", number);
    begin = end + 1;
    if (line.at_end() || line.word() != "rank" || ranks++ != rank) continue;
    const size_t first = line.column();
    size_t words = 0;
    while (!line.at_end()) {
      line.word();
      if (words++ == instruction + 1) return fmt::format("{}:{}", number, line.column());
    }
    return fmt::format("{}:{}", number, first);
  }
  return "1:1";
}

}  // namespace ashlar::schedule
