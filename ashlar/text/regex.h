// Regular expressions as the `tokenizers` library writes them (Oniguruma's syntax), run by PCRE2 in
// UTF and UCP mode with its JIT. \s, \w, \d and \p{..} mean Unicode 16's sets, as there. A search
// that needs too many steps is an Error, never a wrong answer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar::text {

struct Span {
  size_t begin, end;  // bytes, [begin, end)
  size_t size() const { return end - begin; }
  bool operator==(const Span&) const = default;
};

class Regex {
 public:
  // Throws Error naming the pattern, the offset and PCRE2's reason.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  const std::string& pattern() const { return pattern_; }

  // One thread's place to search in; cheap to make, not to be shared.
  class Searcher {
   public:
    explicit Searcher(const Regex& regex);
    ~Searcher();
    Searcher(const Searcher&) = delete;
    Searcher& operator=(const Searcher&) = delete;
    // The leftmost match at or after `from`; text is well-formed UTF-8 and `from` a character's
    // start. Throws Error when the match limit is hit.
    std::optional<Span> find(std::string_view text, size_t from);

   private:
    const Regex& regex_;
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  std::string pattern_;
  struct Code;
  std::unique_ptr<Code> code_;
};

// The pattern in PCRE2's syntax with its older Unicode tables mended: shown for tests.
std::string mend_pattern(std::string_view pattern);

}  // namespace ashlar::text
