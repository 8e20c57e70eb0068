#include "ashlar/text/detokenizer.h"

#include "ashlar/text/tokenizer_parts.h"

namespace ashlar::text {

struct Detokenizer::State {
  TextSink sink;
  std::unique_ptr<TokenStream> stream;
};

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      state_(std::make_unique<State>()) {
  state_->stream = tokenizer.parts_->decoder->open(state_->sink, IllFormed::kReplace);
}

Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

std::string Detokenizer::push(int32_t id) {
  const auto token = tokenizer_->decoder_input(id, skip_special_tokens_);
  if (!token) return {};
  state_->stream->text(*token);
  state_->stream->end_token();
  return state_->sink.take();
}

std::string Detokenizer::finish() {
  state_->stream->finish();
  return state_->sink.take();
}

}  // namespace ashlar::text
