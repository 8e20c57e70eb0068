#include "ashlar/base/error.h"
#include "ashlar/base/lfs_pointer.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/formats/safetensors_header.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr uint64_t kLengthBytes = 8;

// Walks the header without building a document: what is not of the table's form ends the parse at
// once, however deep or long it is.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderParser(std::string path) : path_(std::move(path)) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool key(string_t& name) override {
    if (where_ == Where::kTable) {
      if (!names_.insert(name).second) bad("{} appears twice", shown_text(name));
      if (name.find('\0') != std::string::npos) bad("the name {} holds a NUL", shown_text(name));
      name_ = name;
    } else if (where_ == Where::kMetadata) {
      if (header_.metadata.contains(name)) {
        bad("__metadata__: {} appears twice", shown_text(name));
      }
      field_ = name;
    } else {
      if (name != "dtype" && name != "shape" && name != "data_offsets") {
        bad_tensor("unknown field {}", shown_text(name));
      }
      if (!fields_.insert(name).second) bad_tensor("field {} appears twice", name);
      field_ = name;
    }
    return true;
  }

  bool start_object(size_t) override {
    if (where_ == Where::kOutside) {
      where_ = Where::kTable;
    } else if (where_ == Where::kTable) {
      where_ = name_ == "__metadata__" ? Where::kMetadata : Where::kTensor;
      fields_.clear();
      dtype_.clear();
      numbers_.clear();
    } else {
      wrong("an object");
    }
    return true;
  }

  bool end_object() override {
    if (where_ == Where::kTensor) add_tensor();
    where_ = where_ == Where::kTable ? Where::kOutside : Where::kTable;
    return true;
  }

  bool start_array(size_t) override {
    if (where_ != Where::kTensor || field_ == "dtype") wrong("an array");
    where_ = Where::kNumbers;
    return true;
  }

  bool end_array() override {
    where_ = Where::kTensor;
    return true;
  }

  bool string(string_t& text) override {
    if (where_ == Where::kMetadata) {
      header_.metadata[field_] = text;
    } else if (where_ == Where::kTensor && field_ == "dtype") {
      dtype_ = text;
    } else {
      wrong("a string");
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (where_ != Where::kNumbers) wrong("a number");
    std::vector<uint64_t>& numbers = numbers_[field_];
    if (numbers.size() >= Shape::kMaxRank) {
      bad_tensor("{} has more than {} numbers", field_, Shape::kMaxRank);
    }
    numbers.push_back(value);
    return true;
  }
  bool number_integer(number_integer_t value) override {
    if (where_ != Where::kNumbers) wrong("a number");
    bad_tensor("{} holds the negative number {}", field_, value);
  }
  bool number_float(number_float_t, const string_t& text) override {
    if (where_ != Where::kNumbers) wrong("a number");
    bad_tensor("{} holds {}, which is not a whole number of 64 bits", field_, shown_text(text));
  }
  bool null() override { wrong("null"); }
  bool boolean(bool) override { wrong("a boolean"); }
  bool binary(binary_t&) override { wrong("binary data"); }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    bad("the header is not valid JSON in UTF-8 at byte {}", kLengthBytes + position - 1);
  }

 private:
  enum class Where { kOutside, kTable, kMetadata, kTensor, kNumbers };

  template <typename... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail("safetensors {}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  [[noreturn]] void bad_tensor(fmt::format_string<Args...> format, Args&&... args) const {
    bad("tensor {}: {}", shown_text(name_), fmt::format(format, std::forward<Args>(args)...));
  }

  [[noreturn]] void wrong(std::string_view found) const {
    switch (where_) {
      case Where::kOutside:
        bad("the header is {}, not an object", found);
      case Where::kTable:
        bad("{} is {}, not an object", shown_text(name_), found);
      case Where::kMetadata:
        bad("__metadata__: {} is {}, not a string", shown_text(field_), found);
      case Where::kTensor:
        bad_tensor("{} is {}, not {}", field_, found, field_ == "dtype" ? "a string" : "an array");
      case Where::kNumbers:
        bad_tensor("{} holds {}, not a whole number", field_, found);
    }
    bad("{}", found);
  }

  void add_tensor() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!fields_.contains(field)) bad_tensor("{} is missing", field);
    }
    const std::vector<uint64_t>& dims = numbers_["shape"];
    const std::vector<uint64_t>& offsets = numbers_["data_offsets"];
    const std::optional<DType> dtype = dtype_from_safetensors_name(dtype_);
    if (!dtype) {
      bad_tensor("dtype {} is not one of {}", shown_text(dtype_), safetensors_dtype_names());
    }
    if (offsets.size() != 2) bad_tensor("data_offsets has {} numbers, not 2", offsets.size());
    const std::optional<uint64_t> bytes = data_bytes(*dtype, dims);
    if (!bytes) bad_tensor("shape [{}] of {} overflows", fmt::join(dims, ", "), dtype_);
    const uint64_t begin = offsets[0], end = offsets[1];
    if (begin > end) bad_tensor("data_offsets [{}, {}] are reversed", begin, end);
    if (end - begin != *bytes) {
      bad_tensor("data_offsets [{}, {}] span {} bytes, but shape [{}] of {} takes {}", begin, end,
                 end - begin, fmt::join(dims, ", "), dtype_, *bytes);
    }
    TensorEntry entry;
    entry.name = name_;
    entry.dtype = *dtype;
    entry.shape = Shape(std::vector<int64_t>(dims.begin(), dims.end()));
    entry.begin = begin;
    entry.end = end;
    header_.tensors.push_back(std::move(entry));
  }

  std::string path_;
  SafetensorsHeader header_;
  std::set<std::string> names_;
  Where where_ = Where::kOutside;
  // The tensor or the piece of metadata being read.
  std::string name_, field_, dtype_;
  std::set<std::string> fields_;
  std::map<std::string, std::vector<uint64_t>> numbers_;
};

// The tensors cover [0, data_bytes) exactly once.
void check_cover(std::vector<TensorEntry>& tensors, uint64_t data_size, const std::string& path) {
  std::ranges::stable_sort(tensors, [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  const TensorEntry* last = nullptr;
  for (const TensorEntry& tensor : tensors) {
    ASHLAR_CHECK(tensor.end <= data_size,
                 "safetensors {}: tensor {}: data_offsets [{}, {}] reach beyond the {} bytes of "
                 "data in the file; is it truncated?",
                 path, shown_text(tensor.name), tensor.begin, tensor.end, data_size);
    ASHLAR_CHECK(tensor.begin >= covered,
                 "safetensors {}: tensor {} at [{}, {}] overlaps tensor {}, which ends at {}", path,
                 shown_text(tensor.name), tensor.begin, tensor.end,
                 last == nullptr ? "" : shown_text(last->name), covered);
    ASHLAR_CHECK(tensor.begin == covered,
                 "safetensors {}: a hole in the data: no tensor covers bytes [{}, {}) before {}",
                 path, covered, tensor.begin, shown_text(tensor.name));
    covered = tensor.end;
    last = &tensor;
  }
  ASHLAR_CHECK(covered == data_size,
               "safetensors {}: {} bytes of data follow the last tensor, which ends at {}", path,
               data_size - covered, covered);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& path) {
  check_no_lfs_pointer({reinterpret_cast<const char*>(file.data()), file.size()}, path);
  ASHLAR_CHECK(file.size() >= kLengthBytes, "safetensors {}: {} bytes are too few for a header",
               path, file.size());
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  ASHLAR_CHECK(length <= kMaxSafetensorsHeader,
               "safetensors {}: a header of {} bytes, at most {} are allowed; is this a "
               "safetensors file?",
               path, length, kMaxSafetensorsHeader);
  ASHLAR_CHECK(length <= file.size() - kLengthBytes,
               "safetensors {}: a header of {} bytes in a file of {}; is it truncated?", path,
               length, file.size());
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<size_t>(length));
  ASHLAR_CHECK(text.starts_with('{'), "safetensors {}: the header does not start with '{{'", path);
  // The JSON parser would take a NUL for the end of its input.
  ASHLAR_CHECK(text.find('\0') == std::string_view::npos,
               "safetensors {}: the header holds a NUL byte", path);

  HeaderParser parser(path);
  nlohmann::json::sax_parse(text, &parser);
  SafetensorsHeader header = parser.take();
  header.data_begin = kLengthBytes + length;
  check_cover(header.tensors, file.size() - header.data_begin, path);
  return header;
}

}  // namespace ashlar::formats
