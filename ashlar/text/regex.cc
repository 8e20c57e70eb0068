#include "ashlar/text/regex.h"

#include "ashlar/base/error.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace ashlar::text {
namespace {

// Steps one search may take. Patterns in use need a few per character; a catastrophic one needs
// exponentially many.
constexpr uint32_t kMatchLimit = 1'000'000;
// ^ and $ stand at the ends of lines, as in Ruby.
constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE;
constexpr uint32_t kHeapLimitKiB = 64 * 1024;

std::string reason(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

struct Regex::Searcher::State {
  pcre2_match_data* data;
};

Regex::Regex(std::string_view pattern) : pattern_(pattern), code_(std::make_unique<Code>()) {
  std::string mended;
  try {
    mended = mend_pattern(pattern);
  } catch (const Error& error) {
    fail("pattern \"{}\": {}", pattern_, error.what());
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(units(mended), mended.size(), kOptions, &error, &offset, nullptr);
  ASHLAR_CHECK(code_->code != nullptr, "pattern \"{}\" is not a regular expression: {}", pattern_,
               reason(error));
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);  // without a JIT the interpreter runs
  code_->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(code_->context, kMatchLimit);
  pcre2_set_heap_limit(code_->context, kHeapLimitKiB);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex::Searcher::Searcher(const Regex& regex)
    : regex_(regex),
      state_(new State{pcre2_match_data_create_from_pattern(regex.code_->code, nullptr)}) {}

Regex::Searcher::~Searcher() { pcre2_match_data_free(state_->data); }

std::optional<Span> Regex::Searcher::find(std::string_view text, size_t from) {
  const auto match = [&](uint32_t options) {
    return pcre2_match(regex_.code_->code, units(text), text.size(), from, options, state_->data,
                       regex_.code_->context);
  };
  int result = match(PCRE2_NO_UTF_CHECK);
  // The JIT's stack is small and fixed; the interpreter's heap goes further.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  ASHLAR_CHECK(result >= 0,
               "pattern \"{}\" gives up at byte {} of a text of {} bytes: {}; the text or the "
               "pattern is hostile",
               regex_.pattern_, from, text.size(), reason(result));
  const PCRE2_SIZE* vector = pcre2_get_ovector_pointer(state_->data);
  return Span{vector[0], vector[1]};
}

}  // namespace ashlar::text
