// Metaspace: SentencePiece's way with spaces, which become a visible sign (U+2581).
#include "ashlar/text/metaspace.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/pre_tokenizers/delimiters.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"

namespace ashlar::text {
namespace {

class Metaspace : public PreTokenizer {
 public:
  Metaspace(MetaspaceOptions options, bool split) : options_(std::move(options)), split_(split) {}

  void apply(Pieces& pieces) const override {
    const bool at_start = pieces.at_start();
    pieces.rewrite([&](std::string_view piece, size_t index, std::string& out) {
      const bool wanted = options_.prepend == Prepend::kAlways ||
                          (options_.prepend == Prepend::kFirst && index == 0 && at_start);
      if (wanted && !piece.starts_with(' ') && !piece.starts_with(options_.sign)) {
        out.append(options_.sign);
      }
      for (const char c : piece) {
        if (c == ' ') {
          out.append(options_.sign);
        } else {
          out.push_back(c);
        }
      }
    });
    if (!split_) return;
    pieces.cut([this](std::string_view piece, auto&& emit) {
      size_t begin = 0;
      for (size_t at = piece.find(options_.sign); at != std::string_view::npos;
           at = piece.find(options_.sign, at + options_.sign.size())) {
        emit(begin, at);
        begin = at;
      }
      emit(begin, piece.size());
    });
  }

 private:
  MetaspaceOptions options_;
  bool split_;
};

}  // namespace

MetaspaceOptions metaspace_options(JsonView json) {
  MetaspaceOptions options;
  const auto sign = json.find("replacement");
  if (sign) {
    options.sign = sign->string();
    if (options.sign.empty() || utf8_length(options.sign[0]) != options.sign.size()) {
      sign->fail("wanted one character");
    }
  }
  if (const auto scheme = json.find("prepend_scheme")) {
    const std::string_view name = scheme->string();
    if (name != "always" && name != "first" && name != "never") {
      scheme->fail("wanted \"always\", \"first\" or \"never\"");
    }
    options.prepend = name == "always"  ? Prepend::kAlways
                      : name == "first" ? Prepend::kFirst
                                        : Prepend::kNever;
  } else if (!json.boolean_or("add_prefix_space", true)) {  // the older key
    options.prepend = Prepend::kNever;
  }
  return options;
}

std::unique_ptr<PreTokenizer> make_metaspace_pre_tokenizer(JsonView json) {
  return std::make_unique<Metaspace>(metaspace_options(json), json.boolean_or("split", true));
}

}  // namespace ashlar::text
