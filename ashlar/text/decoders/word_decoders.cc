// The decoders that put spaces between words: WordPiece, Metaspace, BPEDecoder, CTC, and joining by
// spaces where a tokenizer names no decoder.
#include "ashlar/base/utf8.h"
#include "ashlar/text/decoders/decoder.h"
#include "ashlar/text/metaspace.h"

#include <array>
#include <utility>

namespace ashlar::text {
namespace {

// What replacing nothing by something means in the reference.
void put_between_chars(std::string& text, std::string_view sign) {
  if (sign.empty()) return;
  std::string out(sign);
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text[at]);
    out.append(text, at, length).append(sign);
    at += length;
  }
  text = std::move(out);
}

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return put_between_chars(text, to);
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// English spacing, token by token, as WordPiece and CTC have it.
void clean_up(std::string& token) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kRules = {{
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  }};
  for (const auto& [from, to] : kRules) replace(token, from, to);
}

class WordPiece : public Decoder {
 public:
  WordPiece(std::string_view prefix, bool cleanup) : prefix_(prefix), cleanup_(cleanup) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, *this);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    Stream(TokenStream& next, const WordPiece& decoder)
        : WholeTokenStream(next), decoder_(decoder) {}

   protected:
    void token(std::string& token) override {
      if (!first_ && token.starts_with(decoder_.prefix_)) {
        token.erase(0, decoder_.prefix_.size());
      } else if (!first_) {
        token.insert(0, " ");
      }
      first_ = false;
      if (decoder_.cleanup_) clean_up(token);
      pass_on(token);
    }

   private:
    const WordPiece& decoder_;
    bool first_ = true;
  };

  std::string prefix_;
  bool cleanup_;
};

class Metaspace : public Decoder {
 public:
  explicit Metaspace(MetaspaceOptions options) : options_(std::move(options)) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, options_);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    Stream(TokenStream& next, const MetaspaceOptions& options)
        : WholeTokenStream(next), options_(options) {}

   protected:
    void token(std::string& token) override {
      const bool drop = first_ && options_.prepend != Prepend::kNever;
      first_ = false;
      replace(token, options_.sign, drop ? "" : " ");
      pass_on(token);
    }

   private:
    const MetaspaceOptions& options_;
    bool first_ = true;
  };

  MetaspaceOptions options_;
};

// A suffix ends words; the last one gets no space, so one token is always held back.
class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(std::string_view suffix) : suffix_(suffix) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, suffix_);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    Stream(TokenStream& next, const std::string& suffix)
        : WholeTokenStream(next), suffix_(suffix) {}
    void finish() override {
      release("");
      WholeTokenStream::finish();
    }

   protected:
    void token(std::string& token) override {
      release(" ");
      held_ = token;
      holds_ = true;
    }

   private:
    void release(std::string_view in_place_of_suffix) {
      if (!holds_) return;
      replace(held_, suffix_, in_place_of_suffix);
      pass_on(held_);
      holds_ = false;
    }

    const std::string& suffix_;
    std::string held_;
    bool holds_ = false;
  };

  std::string suffix_;
};

// Connectionist temporal classification: repeats count once, the pad token is silence.
class Ctc : public Decoder {
 public:
  explicit Ctc(JsonView json)
      : pad_(json.string_or("pad_token", "<pad>")),
        delimiter_(json.string_or("word_delimiter_token", "|")),
        cleanup_(json.boolean_or("cleanup", true)) {}
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next, *this);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    Stream(TokenStream& next, const Ctc& decoder) : WholeTokenStream(next), decoder_(decoder) {}

   protected:
    void token(std::string& token) override {
      if (has_previous_ && token == previous_) return;
      previous_ = token;
      has_previous_ = true;
      replace(token, decoder_.pad_, "");
      if (decoder_.cleanup_) {
        clean_up(token);
        replace(token, decoder_.delimiter_, " ");
      }
      if (!token.empty()) pass_on(token);
    }

   private:
    const Ctc& decoder_;
    std::string previous_;
    bool has_previous_ = false;
  };

  std::string pad_, delimiter_;
  bool cleanup_;
};

class JoinWithSpaces : public Decoder {
 public:
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next);
  }

 private:
  class Stream : public WholeTokenStream {
   public:
    using WholeTokenStream::WholeTokenStream;

   protected:
    void token(std::string& token) override {
      if (!first_) token.insert(0, " ");
      first_ = false;
      pass_on(token);
    }

   private:
    bool first_ = true;
  };
};

}  // namespace

std::unique_ptr<Decoder> make_word_piece_decoder(JsonView json) {
  return std::make_unique<WordPiece>(json.string_or("prefix", "##"),
                                     json.boolean_or("cleanup", true));
}

std::unique_ptr<Decoder> make_metaspace_decoder(JsonView json) {
  return std::make_unique<Metaspace>(metaspace_options(json));
}

std::unique_ptr<Decoder> make_bpe_decoder(JsonView json) {
  return std::make_unique<BpeDecoder>(json.string_or("suffix", "</w>"));
}

std::unique_ptr<Decoder> make_ctc_decoder(JsonView json) { return std::make_unique<Ctc>(json); }

std::unique_ptr<Decoder> make_join_with_spaces() { return std::make_unique<JoinWithSpaces>(); }

}  // namespace ashlar::text
