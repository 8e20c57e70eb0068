// UnicodeScripts: cuts where the script changes (Latin, Han, ...). Characters of no script stay
// with what is before them; where they begin a text they vanish, as in the reference.
#include "ashlar/base/utf8.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/unicode/char_runs.h"
#include "ashlar/text/unicode/script_tables.h"

namespace ashlar::text {
namespace {

class UnicodeScripts : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.cut([](std::string_view piece, auto&& emit) {
      const ScriptRun* last = nullptr;
      size_t begin = piece.size();
      for (size_t at = 0; at < piece.size();) {
        const DecodedChar c = decode_utf8(piece.data() + at);
        if (const ScriptRun* const run = find_run(script_runs(), c.value)) {
          if (last == nullptr) begin = at;
          if (last != nullptr && run->script != last->script) {
            emit(begin, at);
            begin = at;
          }
          last = run;
        }
        at += c.length;
      }
      emit(begin, piece.size());
    });
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> make_unicode_scripts(JsonView) {
  return std::make_unique<UnicodeScripts>();
}

}  // namespace ashlar::text
