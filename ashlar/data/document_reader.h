// Reads files front to back as pieces of documents, in batches small enough for memory whatever the
// size of the corpus. A text file is one document, cut into pieces between a line break and a
// character that is no space: there tokenizers split too, so the tokens are those of the whole.
// (One that joins across lines differs by a token or two at a cut, one cut a MiB.)
#pragma once

#include "ashlar/base/mapped_file.h"
#include "ashlar/data/source.h"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::data {

struct Piece {
  std::string_view text;
  const SourceFile* file = nullptr;
  int64_t line = 1;                 // of the file, where the text starts
  bool begins = true, ends = true;  // the document does, here
  std::string where() const;        // "file:line"
};

// Which documents to read: a share of them can be held out, spread evenly over the corpus.
struct DocumentChoice {
  double held_out = 0;  // share in [0, 1)
  bool take_held_out = false;
  bool takes(int64_t document) const;
};

class DocumentReader {
 public:
  // The files must outlive the reader.
  DocumentReader(const std::vector<SourceFile>& files, DocumentChoice choice);

  // About 16 MiB of pieces, in order; none at the end. They point into mapped files and live until
  // the next call.
  const std::vector<Piece>& next();

  int64_t bytes_done() const { return bytes_done_; }
  int64_t bytes() const { return bytes_; }

 private:
  void open_next_file();
  std::string_view next_text();
  std::string_view next_line();
  bool at_end_of_file() const { return offset_ == text_.size(); }

  const std::vector<SourceFile>& files_;
  DocumentChoice choice_;
  int64_t bytes_ = 0, bytes_done_ = 0;
  size_t file_ = 0;                // the next to open
  std::deque<MappedFile> mapped_;  // those the pieces point into; the last is being read
  std::string_view text_;          // of the file being read
  size_t offset_ = 0;
  int64_t line_ = 1;
  int64_t document_ = 0;  // the one that starts at offset_, or is being read
  bool inside_ = false;   // a text document whose first piece is out
  std::vector<Piece> pieces_;
};

}  // namespace ashlar::data
