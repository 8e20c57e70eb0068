#include "ashlar/text/factory.h"

#include "ashlar/text/decoders/decoder.h"

#include <vector>

namespace ashlar::text {
namespace {

// Streams in a row, each passing on to the one after it.
class Chain : public TokenStream {
 public:
  Chain(const std::vector<std::unique_ptr<Decoder>>& decoders, TokenStream& next,
        IllFormed ill_formed)
      : first_(&next) {
    // Only the last step may pass on bytes that are not text: the others read characters.
    for (size_t i = decoders.size(); i-- > 0;) {
      streams_.push_back(decoders[i]->open(*first_, ill_formed));
      first_ = streams_.back().get();
      ill_formed = IllFormed::kReplace;
    }
  }
  void text(std::string_view fragment) override { first_->text(fragment); }
  void end_token() override { first_->end_token(); }
  void finish() override { first_->finish(); }

 private:
  std::vector<std::unique_ptr<TokenStream>> streams_;  // last step first
  TokenStream* first_;
};

class Sequence : public Decoder {
 public:
  explicit Sequence(JsonView json) {
    const JsonView steps = json.at("decoders");
    for (size_t i = 0; i < steps.size(); ++i) steps_.push_back(make_decoder(steps.element(i)));
  }
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed ill_formed) const override {
    return std::make_unique<Chain>(steps_, next, ill_formed);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::unique_ptr<Decoder> make_sequence(JsonView json) { return std::make_unique<Sequence>(json); }

constexpr FactoryRow<Decoder> kRows[] = {
    {"BPEDecoder", make_bpe_decoder},
    {"ByteFallback", make_byte_fallback},
    {"ByteLevel", make_byte_level_decoder},
    {"CTC", make_ctc_decoder},
    {"Fuse", make_fuse},
    {"Metaspace", make_metaspace_decoder},
    {"Replace", make_replace_decoder},
    {"Sequence", make_sequence},
    {"Strip", make_strip_decoder},
    {"WordPiece", make_word_piece_decoder},
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(std::optional<JsonView> json) {
  if (!json) return make_join_with_spaces();
  return make_component<Decoder>("decoder", *json, kRows);
}

}  // namespace ashlar::text
