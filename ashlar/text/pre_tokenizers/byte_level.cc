// ByteLevel: GPT-2's words, read as bytes.
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/pre_tokenizers/word_patterns.h"

namespace ashlar::text {
namespace {

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void apply(Pieces& pieces) const override {
    if (add_prefix_space_) {
      pieces.rewrite([](std::string_view piece, size_t, std::string& out) {
        if (!piece.starts_with(' ')) out.push_back(' ');
        out.append(piece);
      });
    }
    if (use_regex_) {
      pieces.cut([](std::string_view piece, auto&& emit) {
        for (size_t at = 0; at < piece.size();) {
          const size_t length = match_word(WordPattern::kGpt2, piece.substr(at));
          emit(at, at + length);
          at += length;
        }
      });
    }
    pieces.read_as_bytes();
  }

  bool ends_in_bytes() const override { return true; }

 private:
  bool add_prefix_space_, use_regex_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(JsonView json) {
  return std::make_unique<ByteLevel>(json.boolean_or("add_prefix_space", true),
                                     json.boolean_or("use_regex", true));
}

}  // namespace ashlar::text
