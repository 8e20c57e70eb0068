#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/cli/interrupt.h"
#include "ashlar/cli/sampling_flags.h"
#include "ashlar/cli/show_text.h"
#include "ashlar/cli/text_model.h"
#include "ashlar/cli/verbs.h"
#include "ashlar/text/chat_template.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int64_t kMaxTemplate = int64_t{1} << 20;  // bytes

// One line of standard input without its end; nullopt at the end of input or when interrupted.
// Reads byte by byte, since what follows the line belongs to the next call.
std::optional<std::string> read_line(const InterruptFlag& interrupt) {
  std::string line;
  while (true) {
    if (!interrupt.wait_readable(STDIN_FILENO)) return std::nullopt;
    char c = 0;
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0) return std::nullopt;
    if (got == 0) return line.empty() ? std::nullopt : std::optional(line);
    if (c == '\n') return line;
    line += c;
  }
}

// The template of a model and the turns so far.
class Conversation {
 public:
  // template_file: in the place of the model's own template; empty: that one.
  Conversation(const bundle::Bundle& bundle, const std::string& template_file,
               const std::string& system)
      : files_(bundle.chat_files()), template_(read_template(bundle, template_file)) {
    if (!system.empty()) add("system", system);
    first_ = messages_.size();
  }

  void add(const std::string& role, const std::string& content) {
    messages_.push_back({{"role", role}, {"content", content}});
  }
  void drop_last() { messages_.erase(messages_.size() - 1); }
  void reset() {
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(first_), messages_.end());
  }

  std::string prompt() const {
    text::ChatRequest request;
    request.messages = text::jinja::parse_json(messages_.dump(), "the conversation");
    request.special_tokens = files_.special_tokens;
    return template_.render(request);
  }

 private:
  text::ChatTemplate read_template(const bundle::Bundle& bundle, const std::string& file) const {
    if (!file.empty()) return text::ChatTemplate::parse(read_file(file, kMaxTemplate), file);
    files_.check();
    const text::ChatTemplateSource* const source = files_.choose(false);
    ASHLAR_CHECK(source != nullptr,
                 "model {}: no chat template (chat_template.jinja, or chat_template in "
                 "tokenizer_config.json); give one with --chat-template FILE, or continue a text "
                 "with `ashlar run`",
                 bundle.path());
    return text::ChatTemplate::parse(source->source, source->where);
  }

  text::ChatFiles files_;
  text::ChatTemplate template_;
  nlohmann::ordered_json messages_ = nlohmann::ordered_json::array();
  size_t first_ = 0;  // messages that /reset keeps
};

// The prompt, refused where it is far too long to be cut into tokens.
std::string prompt_of(const Conversation& conversation, int64_t context) {
  std::string prompt = conversation.prompt();
  const std::string excess = text::prompt_excess(prompt, context);
  ASHLAR_CHECK(excess.empty(), "messages: {}", excess);
  return prompt;
}

struct Chat {
  static constexpr const char* kName = "chat";
  static constexpr const char* kHelp = "Talk with a model in the terminal";
  static constexpr const char* kGroup = kServeGroup;
  ModelFlags model;
  SamplingFlags sampling;
  MachineFlags machine;
  std::string system, chat_template;

  void add_flags(CLI::App& app) {
    model.add_to(app);
    app.add_option("--system", system, "The system message")->option_text("TEXT");
    app.add_option("--chat-template", chat_template,
                   "A Jinja template to use in the place of the model's")
        ->option_text("FILE");
    sampling.max_new = 1024;
    sampling.add_to(app);
    app.get_option("--max-new")->option_text("N=1024");
    machine.add_to(app);
  }

  int run() {
    machine.log_level = machine.log_level.empty() ? "warn" : machine.log_level;
    machine.resolve();
    TextModel opened(model, machine);
    bundle::note_unread(opened.bundle().generation(), opened.bundle().path());
    Conversation conversation(opened.bundle(), chat_template, system);
    InterruptFlag interrupt;
    const bool terminal = ::isatty(STDIN_FILENO) == 1;
    if (terminal) std::fputs("Ctrl-C stops an answer; /reset forgets, /exit ends.\n", stderr);
    bool failed = false;
    while (true) {
      if (terminal) std::fputs("> ", stderr);
      const std::optional<std::string> line = read_line(interrupt);
      if (interrupt.raised()) return kInterrupted;
      if (!line || *line == "/exit") return failed && !terminal ? 1 : 0;  // a script asks
      if (line->empty()) continue;
      if (*line == "/reset") {
        conversation.reset();
      } else if (line->starts_with('/')) {
        std::fputs("Commands: /reset forgets the conversation, /exit ends.\n", stderr);
      } else {
        failed = !answer(opened, conversation, *line, interrupt) || failed;
      }
    }
  }

  // What goes wrong with one turn ends that turn, not the conversation. An interrupted answer stays
  // in it as far as it was shown, so that "go on" means something; one that showed nothing goes,
  // with its question.
  // Returns whether it went well.
  bool answer(TextModel& opened, Conversation& conversation, const std::string& line,
              InterruptFlag& interrupt) {
    conversation.add("user", line);
    bool well = true;
    try {
      const generate::Generated result = opened.generator().generate(
          opened.encode(prompt_of(conversation, opened.runner().max_context()), false),
          sampling.resolve(opened.bundle().generation()), [&](int32_t, const std::string& text) {
            show_text(text);
            return !interrupt.raised();
          });
      print_result("");
      if (result.text.empty() && result.reason == generate::StopReason::kCancelled) {
        conversation.drop_last();
      } else {
        conversation.add("assistant", result.text);
      }
    } catch (const Error& error) {
      well = false;
      conversation.drop_last();
      std::fprintf(stderr, "%s (/reset forgets the conversation)\n",
                   on_one_line(error.what(), kShownMessage).c_str());
    }
    interrupt.lower();
    return well;
  }
};

}  // namespace

void add_chat(CLI::App& app, Action& action) { add_verb<Chat>(app, action); }

}  // namespace ashlar::cli
