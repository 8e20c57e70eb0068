#include "ashlar/data/document_reader.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <cmath>

namespace ashlar::data {
namespace {

constexpr int64_t kBatchBytes = 16 << 20;
constexpr size_t kBatchPieces = 8192;  // bounds the mapped files of a folder of small ones
constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kPieceSearch = 3 << 20;  // how far to look for a good place to cut
constexpr size_t kLongestLine = 256 << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The length of the first piece of `text`.
size_t piece_length(std::string_view text) {
  if (text.size() <= kPieceBytes) return text.size();
  const size_t stop = std::min(text.size() - 1, kPieceBytes + kPieceSearch);
  for (size_t at = kPieceBytes; at < stop; ++at) {
    if (text[at - 1] == '\n' && !is_space(text[at])) return at;
  }
  size_t at = kPieceBytes;  // one endless line
  while (at > 0 && continues_character(text[at])) --at;
  return at > 0 ? at : kPieceBytes;  // not UTF-8: its check will say so
}

}  // namespace

std::string Piece::where() const { return fmt::format("{}:{}", file->path, line); }

bool DocumentChoice::takes(int64_t document) const {
  const auto held_out_before = [this](int64_t i) {
    return std::floor(static_cast<double>(i) * held_out);
  };
  const bool is_held_out = held_out_before(document + 1) > held_out_before(document);
  return held_out == 0 ? !take_held_out : is_held_out == take_held_out;
}

DocumentReader::DocumentReader(const std::vector<SourceFile>& files, DocumentChoice choice)
    : files_(files), choice_(choice) {
  for (const SourceFile& file : files) bytes_ += file.bytes;
}

const std::vector<Piece>& DocumentReader::next() {
  pieces_.clear();
  while (mapped_.size() > 1) mapped_.pop_front();
  if (!mapped_.empty()) mapped_.front().release(0, offset_);
  int64_t batch = 0;
  while (batch < kBatchBytes && pieces_.size() < kBatchPieces) {
    if (at_end_of_file()) {
      if (file_ == files_.size()) break;
      open_next_file();
      continue;
    }
    const SourceFile& file = files_[file_ - 1];
    Piece piece{.text = {}, .file = &file, .line = line_, .begins = !inside_, .ends = true};
    const size_t before = offset_;
    if (file.kind == FileKind::kJsonLines) {
      piece.text = next_line();
    } else {
      piece.text = next_text();
      piece.ends = at_end_of_file();
    }
    const bool blank = piece.begins && piece.ends && std::ranges::all_of(piece.text, is_space);
    if (!blank && choice_.takes(document_)) {
      pieces_.push_back(piece);
      batch += static_cast<int64_t>(piece.text.size());
    }
    inside_ = !piece.ends;
    if (piece.ends && !blank) ++document_;
    bytes_done_ += static_cast<int64_t>(offset_ - before);
  }
  return pieces_;
}

void DocumentReader::open_next_file() {
  const SourceFile& file = files_[file_++];
  mapped_.emplace_back(file.path);
  const auto bytes = mapped_.back().bytes();
  text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (static_cast<size_t>(file.bytes) < text_.size()) {
    text_ = text_.substr(0, static_cast<size_t>(file.bytes));
    const size_t end_of_line = text_.rfind('\n');
    text_ = text_.substr(0, end_of_line == std::string_view::npos ? 0 : end_of_line + 1);
  }
  offset_ = text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  line_ = 1;
}

std::string_view DocumentReader::next_text() {
  const std::string_view piece = text_.substr(offset_, piece_length(text_.substr(offset_)));
  offset_ += piece.size();
  line_ += std::ranges::count(piece, '\n');
  return piece;
}

std::string_view DocumentReader::next_line() {
  const size_t end = std::min(text_.find('\n', offset_), text_.size());
  const std::string_view line = text_.substr(offset_, end - offset_);
  ASHLAR_CHECK(line.size() <= kLongestLine, "{}:{}: a line of {} bytes; at most {} are read",
               files_[file_ - 1].path, line_, line.size(), kLongestLine);
  offset_ = std::min(end + 1, text_.size());
  ++line_;
  return line;
}

}  // namespace ashlar::data
