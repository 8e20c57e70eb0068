// The decoders that edit text: Replace, Fuse, Strip.
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/decoders/decoder.h"
#include "ashlar/text/pattern.h"

#include <algorithm>

namespace ashlar::text {
namespace {

// What rules in a row may make of a token: each of them may make it longer.
constexpr size_t kLongestGrown = 1 << 22;

class Replace : public Decoder {
 public:
  Replace(Pattern pattern, std::string_view content)
      : pattern_(std::move(pattern)), content_(content) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, *this);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    Stream(TokenStream& next, const Replace& decoder) : WholeTokenStream(next), decoder_(decoder) {}

   protected:
    void token(std::string& token) override {
      const std::string replaced = replace_all(decoder_.pattern_, token, decoder_.content_);
      ASHLAR_CHECK(
          replaced.size() <= std::max(token.size(), kLongestGrown),
          "decoder Replace makes {} bytes of a token of {}, at most {} are wanted; the rules of "
          "this tokenizer are hostile",
          replaced.size(), token.size(), kLongestGrown);
      pass_on(replaced);
    }

   private:
    const Replace& decoder_;
  };

  Pattern pattern_;
  std::string content_;
};

// All tokens become one, whose text flows on at once.
class Fuse : public Decoder {
 public:
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next);
  }

 private:
  class Stream : public TokenStream {
   public:
    explicit Stream(TokenStream& next) : next_(next) {}
    void text(std::string_view fragment) override { next_.text(fragment); }
    void end_token() override {}
    void finish() override {
      next_.end_token();
      next_.finish();
    }

   private:
    TokenStream& next_;
  };
};

// Drops up to `start` signs from a token's front and up to `stop` from its end.
class Strip : public Decoder {
 public:
  Strip(std::string_view sign, int64_t start, int64_t stop)
      : sign_(sign), start_(start), stop_(stop) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, *this);
  }

 private:
  class Stream : public TokenStream {
   public:
    Stream(TokenStream& next, const Strip& decoder) : next_(next), decoder_(decoder) {}

    void text(std::string_view fragment) override {
      std::string out;
      while (!fragment.empty()) {
        const std::string_view c = fragment.substr(0, utf8_length(fragment[0]));
        fragment.remove_prefix(c.size());
        if (c != decoder_.sign_) {
          for (; held_ > 0; --held_) out.append(decoder_.sign_);
          out.append(c);
          in_front_ = false;
        } else if (in_front_ && dropped_ < decoder_.start_) {
          ++dropped_;
        } else {
          in_front_ = false;
          // Only the last `stop` signs may turn out to be the end.
          if (++held_ > decoder_.stop_) {
            out.append(decoder_.sign_);
            --held_;
          }
        }
      }
      if (!out.empty()) next_.text(out);
    }
    void end_token() override {
      in_front_ = true;
      dropped_ = 0;
      held_ = 0;
      next_.end_token();
    }
    void finish() override { next_.finish(); }

   private:
    TokenStream& next_;
    const Strip& decoder_;
    bool in_front_ = true;
    int64_t dropped_ = 0;
    int64_t held_ = 0;
  };

  std::string sign_;
  int64_t start_, stop_;
};

}  // namespace

std::unique_ptr<Decoder> make_replace_decoder(JsonView json) {
  return std::make_unique<Replace>(Pattern::from_json(json.at("pattern")),
                                   json.at("content").string());
}

std::unique_ptr<Decoder> make_fuse(JsonView) { return std::make_unique<Fuse>(); }

std::unique_ptr<Decoder> make_strip_decoder(JsonView json) {
  const JsonView sign = json.at("content");
  if (sign.string().empty() || utf8_length(sign.string()[0]) != sign.string().size()) {
    sign.fail("wanted one character");
  }
  return std::make_unique<Strip>(sign.string(), json.at("start").integer(0, INT32_MAX),
                                 json.at("stop").integer(0, INT32_MAX));
}

}  // namespace ashlar::text
