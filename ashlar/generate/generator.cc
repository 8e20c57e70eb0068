#include "ashlar/generate/generator.h"

#include "ashlar/base/error.h"
#include "ashlar/generate/text_stream.h"

#include <algorithm>
#include <utility>

namespace ashlar::generate {
namespace {

bool is_end_token(int32_t id, const GenerateOptions& options) {
  return !options.ignore_end_tokens &&
         std::ranges::find(options.end_tokens, id) != options.end_tokens.end();
}

}  // namespace

Generator::Generator(ModelRunner& runner, const text::Tokenizer* tokenizer)
    : runner_(runner), tokenizer_(tokenizer), pool_(runner.blocks()), sampler_(runner.vocab()) {
  identity_.dtype = runner.cache_dtype();
}

Generated Generator::generate(std::span<const int32_t> prompt, const GenerateOptions& options,
                              const OnToken& on_token) {
  const auto length = static_cast<int64_t>(prompt.size());
  const int64_t context = std::min(runner_.max_context(), pool_.blocks() * kBlockTokens);
  ASHLAR_CHECK(length > 0, "the prompt is empty; give at least one token");
  ASHLAR_CHECK(
      length < context,
      "the prompt has {} tokens, the context {}: no room for a new one; shorten the prompt", length,
      context);
  ASHLAR_CHECK(options.stop.empty() || tokenizer_ != nullptr,
               "stop strings need a tokenizer, and this model has none");
  options.sampling.validate(runner_.vocab());
  const int64_t room = context - length;
  const int64_t most = std::min(options.max_new.value_or(room), room);

  Generated result;
  std::vector<int32_t> tokens(prompt.begin(), prompt.end());
  tokens.reserve(tokens.size() + static_cast<size_t>(std::max<int64_t>(most, 0)));
  TokenHistory history;
  if (options.sampling.has_penalties()) history.add_prompt(prompt);
  std::optional<TextStream> stream;
  if (tokenizer_ != nullptr) stream.emplace(*tokenizer_, prompt, options.stop);

  identity_.long_sequence = runner_.is_long(length);
  BlockTable table(pool_, identity_);
  int64_t computed = result.cached_tokens = table.reuse(tokens, length - 1);
  for (int64_t i = 0; i < most; ++i) {
    if (runner_.is_long(length + i) != identity_.long_sequence) {
      identity_.long_sequence = true;
      table = BlockTable(pool_, identity_);
      computed = table.reuse(tokens, length + i - 1);
    }
    const std::span<const float> logits = compute(tokens, computed, table);
    computed = static_cast<int64_t>(tokens.size());
    const int32_t id =
        sampler_.sample(logits, options.sampling, &history, static_cast<uint64_t>(i));
    tokens.push_back(id);
    result.ids.push_back(id);
    if (options.sampling.has_penalties()) history.add_generated(id);
    bool last = i + 1 == most;
    std::string text;
    if (is_end_token(id, options)) {
      result.reason = StopReason::kEndToken;
      last = true;
    } else if (stream) {
      text = stream->push(id);
      if (stream->stopped()) result.reason = StopReason::kStopString;
      last = last || stream->stopped();
    }
    if (last && stream) text += stream->finish();
    result.text += text;
    const bool go_on = !on_token || on_token(id, text);
    if (last) break;
    if (!go_on) {
      result.reason = StopReason::kCancelled;
      break;
    }
  }
  return result;
}

std::span<const float> Generator::compute(const std::vector<int32_t>& tokens, int64_t computed,
                                          BlockTable& table) {
  const auto total = static_cast<int64_t>(tokens.size());
  const bool room = table.grow(total);
  ASHLAR_DCHECK(room);  // one sequence within the context always fits
  (void)room;
  while (true) {
    const int64_t count = std::min(total - computed, runner_.limits().tokens);
    const bool last = computed + count == total;
    const SequencePiece piece{
        std::span(tokens).subspan(static_cast<size_t>(computed), static_cast<size_t>(count)),
        computed, table.blocks(), last ? 1 : 0, total};
    const Logits logits = runner_.run({&piece, 1});
    computed += count;
    table.publish(tokens, computed);
    if (last) return logits.row(0);
  }
}

}  // namespace ashlar::generate
