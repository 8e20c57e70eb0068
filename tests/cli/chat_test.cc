// chat as a person uses it: line by line, with Ctrl-C.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "tests/base/paths.h"
#include "tests/cli/program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ChatTest, AnswersEachLineAndForgetsWhenTold) {
  const std::vector<std::string> command = {"chat", fixture_model("llama"), "--greedy", "--max-new",
                                            "6"};
  const testing::ProgramResult once = ashlar(command, {.stdin_text = "Hi\n/exit\nnot read\n"});
  EXPECT_EQ(once.exit_code, 0) << once.err;
  EXPECT_NE(once.out, "");
  const testing::ProgramResult twice = ashlar(command, {.stdin_text = "Hi\n/reset\nHi\n"});
  EXPECT_EQ(twice.out, once.out + once.out);
  const testing::ProgramResult on = ashlar(command, {.stdin_text = "Hi\nHi\n"});
  EXPECT_TRUE(on.out.starts_with(once.out));
  EXPECT_NE(on.out, twice.out);  // the second answer knows of the first
}

TEST(ChatTest, AModelWithoutTemplateIsToldFrom) {
  EXPECT_THAT(complaint(ashlar({"chat", fixture_model("gpt2")}), 1), HasSubstr("no chat template"));
}

// Also one that is used for requests with tools only.
TEST(ChatTest, ABrokenTemplateEndsItAtOnce) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  std::filesystem::create_directory(model + "/additional_chat_templates");
  write_file(model + "/additional_chat_templates/tool_use.jinja", "{{ tools }}\n{% if %}");
  EXPECT_THAT(complaint(ashlar({"chat", model}, {.stdin_text = "Hi\n"}), 1),
              HasSubstr("tool_use.jinja:2:"));
  EXPECT_THAT(complaint(ashlar({"serve", model, "--port", "0"}), 1),
              HasSubstr("tool_use.jinja:2:"));
}

TEST(ChatTest, ATemplateFromAFileTakesTheModelsPlace) {
  const testing::TempDir folder;
  const auto talk = [&](const std::string& model, const std::string& text) {
    write_file(folder.path("mine.jinja"), text);
    return ashlar({"chat", fixture_model(model), "--greedy", "--max-new", "6", "--chat-template",
                   folder.path("mine.jinja")},
                  {.stdin_text = "Hi\n/reset\nWell\n"});
  };
  for (const char* model : {"llama", "gpt2"}) {  // gpt2 has none of its own
    const testing::ProgramResult constant = talk(model, "To be, or not");
    ASSERT_EQ(constant.exit_code, 0) << constant.err;
    const size_t half = constant.out.size() / 2;
    EXPECT_EQ(constant.out.substr(0, half), constant.out.substr(half));  // whatever was said
    EXPECT_NE(talk(model, "{{ messages[-1].content }}").out, constant.out);
  }
  EXPECT_THAT(complaint(talk("llama", "one\n{{ messages[ }}"), 1),
              HasSubstr("mine.jinja:2:14: unexpected '}', expected ']'"));
  // What a template complains of is one line, and steers no terminal.
  EXPECT_THAT(talk("llama", "{{ raise_exception('a\\n\\x1b[3mb') }}").err,
              HasSubstr("mine.jinja:1:19: a\\x0a\\x1b[3mb (/reset forgets the conversation)\n"));
}

// A conversation under way; stdout and stderr come in one stream.
class Talk {
 public:
  explicit Talk(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {ashlar_binary(), "chat"});
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    int in[2], out[2];
    ASHLAR_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0, "no pipe");
    ::fcntl(out[0], F_SETPIPE_SZ, 4096);  // an answer soon waits for its reader
    pid_ = ::fork();
    ASHLAR_CHECK(pid_ >= 0, "cannot fork");
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(out[1], STDERR_FILENO);
      ::execv(words[0], words.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  ~Talk() {
    ::close(to_);
    ::close(from_);
    if (pid_ > 0) ::kill(pid_, SIGKILL), wait();
  }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  void say(const std::string& line) {
    const std::string text = line + "\n";
    ASHLAR_CHECK(::write(to_, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
                 "it does not listen");
  }
  // Reads so many bytes more, or until the text has come; returns all since the last clear().
  void hear(size_t bytes) {
    for (const size_t wanted = heard_.size() + bytes; heard_.size() < wanted;) read_more();
  }
  void hear_until(const std::string& text) {
    while (heard_.find(text) == std::string::npos) read_more();
  }
  std::string& heard() { return heard_; }
  void interrupt() { ::kill(pid_, SIGINT); }
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  void read_more() {
    char buffer[512];
    const ssize_t got = ::read(from_, buffer, sizeof buffer);
    ASHLAR_CHECK(got > 0, "it ended: {}", heard_);
    heard_.append(buffer, static_cast<size_t>(got));
  }

  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  std::string heard_;
};

// Starts an answer, stops it in its midst and returns what was shown of it.
std::string interrupted_answer(Talk& talk, const std::string& question) {
  talk.heard().clear();
  talk.say(question);
  talk.hear(40);
  talk.interrupt();
  talk.say("/help");  // its text marks the answer's end
  talk.hear_until("\nCommands: ");
  const std::string& heard = talk.heard();
  return heard.substr(0, heard.find("\nCommands: "));
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos
             ? ""
             : text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

TEST(ChatTest, AnInterruptedAnswerStaysAsFarAsItWasShown) {
  const testing::TempDir folder;
  const std::string model = endless_model(folder);
  Talk talk({model, "--greedy", "--max-new", "100000"});
  const std::string first = interrupted_answer(talk, "Hi");
  const std::string second = interrupted_answer(talk, "Go on");
  talk.say("/exit");
  EXPECT_EQ(talk.wait(), 0);

  // What the model says to the conversation as it was seen, written by hand as its template would.
  const auto turn = [](const std::string& role, const std::string& content) {
    return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role, content);
  };
  std::string prompt = "<|begin_of_text|>" + turn("user", "Hi") +
                       turn("assistant", trimmed(first)) + turn("user", "Go on") +
                       "<|start_header_id|>assistant<|end_header_id|>\n\n";
  write_file(folder.path("prompt"), prompt);
  const Json ids = ashlar_json(
      {"tokenize", "encode", model, "--file", folder.path("prompt"), "--no-special"})["ids"];
  const Json answer = ashlar_json({"run", model, "--ids", join_ids(ids), "--greedy", "--max-new",
                                   std::to_string(second.size() + 8)})["ids"];
  const Json text =
      ashlar_json({"tokenize", "decode", model, "--ids", join_ids(answer), "--no-special"})["text"];
  EXPECT_THAT(text.get<std::string>(), StartsWith(second));
}

TEST(ChatTest, CtrlCAtThePromptEndsItWith130) {
  Talk talk({fixture_model("llama"), "--greedy", "--max-new", "2"});
  talk.say("/help");
  talk.hear_until("Commands: ");
  talk.interrupt();
  EXPECT_EQ(talk.wait(), 130);
}

}  // namespace
}  // namespace ashlar::cli
