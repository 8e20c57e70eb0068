#include "ashlar/data/encode_corpus.h"

#include <exception>

namespace ashlar::data {

void encode_corpus(const std::vector<SourceFile>& files, const Encoder& encoder,
                   const EncodeOptions& options, ThreadPool& pool, ShardWriter& out) {
  DocumentReader reader(files, options.choice);
  std::vector<EncodedPiece> encoded;
  std::vector<std::exception_ptr> failed;
  for (;;) {
    const std::vector<Piece>& pieces = reader.next();
    if (pieces.empty()) break;
    if (encoded.size() < pieces.size()) encoded.resize(pieces.size());
    failed.assign(pieces.size(), nullptr);
    pool.parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t task, int) {
      const auto i = static_cast<size_t>(task);
      try {
        encode_piece(pieces[i], encoder, options.bad_utf8, encoded[i]);
      } catch (...) {  // tasks may not throw
        failed[i] = std::current_exception();
      }
    });
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (failed[i]) std::rethrow_exception(failed[i]);
      const EncodedPiece& piece = encoded[i];
      out.append(piece.tokens, piece.counted, piece.starts, piece.text_bytes);
    }
    if (options.progress) options.progress({reader.bytes_done(), reader.bytes(), out.tokens()});
  }
}

}  // namespace ashlar::data
