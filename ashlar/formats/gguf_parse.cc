#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/formats/gguf_header.h"
#include "ashlar/formats/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kMaxRank = 4;  // as ggml has it
// The least that an entry of each table takes: what bounds their counts.
constexpr uint64_t kMinKeyBytes = 8 + 4 + 1, kMinTensorBytes = 8 + 4 + 4 + 8;

uint64_t bytes_of(GgufKind kind) {
  switch (kind) {
    case GgufKind::kU8:
    case GgufKind::kI8:
    case GgufKind::kBool:
      return 1;
    case GgufKind::kU16:
    case GgufKind::kI16:
      return 2;
    case GgufKind::kU32:
    case GgufKind::kI32:
    case GgufKind::kF32:
      return 4;
    default:
      return 8;  // of a string the length
  }
}

class Parser {
 public:
  Parser(std::span<const std::byte> file, const std::string& path)
      : file_(file), path_(path), header_{GgufMetadata("gguf " + path), {}} {}

  GgufHeader parse() {
    what_ = "the header";
    if (!is_gguf(file_)) bad("this is no GGUF file: it does not begin with 'GGUF'");
    at_ = kMagic.size();
    header_.version = number<uint32_t>();
    if (header_.version == 0x02000000 || header_.version == 0x03000000) {
      bad("the file is big-endian; wanted little-endian");
    }
    if (header_.version != 2 && header_.version != 3) {
      bad("version {} is not known, wanted 2 or 3", header_.version);
    }
    const uint64_t tensors = count("tensors", number<uint64_t>(), kMinTensorBytes);
    const uint64_t keys = count("keys", number<uint64_t>(), kMinKeyBytes);
    for (uint64_t i = 0; i < keys; ++i) read_key();
    read_alignment();
    for (uint64_t i = 0; i < tensors; ++i) read_tensor();
    what_ = "the header";
    header_.data_begin = padded_bytes(at_, header_.alignment);
    check_places();
    return std::move(header_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail("gguf {}: {}", path_, fmt::format(format, std::forward<Args>(args)...));
  }

  const std::byte* take(uint64_t bytes) {
    if (bytes > file_.size() - at_) {
      bad("{} ends at byte {} of {}: the file is cut short", what_, at_, file_.size());
    }
    const std::byte* data = file_.data() + at_;
    at_ += bytes;
    return data;
  }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  // As many entries as the rest of the file could hold.
  uint64_t count(std::string_view entries, uint64_t wanted, uint64_t bytes_each) const {
    if (wanted > (file_.size() - at_) / bytes_each) {
      bad("{}: {} {} do not fit into a file of {} bytes", what_, wanted, entries, file_.size());
    }
    return wanted;
  }

  std::string string() {
    const uint64_t length = count("bytes", number<uint64_t>(), 1);
    return {reinterpret_cast<const char*>(take(length)), static_cast<size_t>(length)};
  }

  GgufKind kind() {
    const auto value = number<uint32_t>();
    if (value > static_cast<uint32_t>(GgufKind::kF64))
      bad("{}: type {} is not known", what_, value);
    return static_cast<GgufKind>(value);
  }

  void read_element(GgufValue& value) {
    switch (value.kind) {
      case GgufKind::kU8:
        value.integers.push_back(number<uint8_t>());
        return;
      case GgufKind::kI8:
        value.integers.push_back(number<int8_t>());
        return;
      case GgufKind::kU16:
        value.integers.push_back(number<uint16_t>());
        return;
      case GgufKind::kI16:
        value.integers.push_back(number<int16_t>());
        return;
      case GgufKind::kU32:
        value.integers.push_back(number<uint32_t>());
        return;
      case GgufKind::kI32:
        value.integers.push_back(number<int32_t>());
        return;
      case GgufKind::kU64:
      case GgufKind::kI64:
        value.integers.push_back(number<int64_t>());
        return;
      case GgufKind::kF32:
        value.reals.push_back(static_cast<double>(number<float>()));
        return;
      case GgufKind::kF64:
        value.reals.push_back(number<double>());
        return;
      case GgufKind::kBool:
        value.integers.push_back(number<uint8_t>());
        if (value.integers.back() > 1) bad("{}: {} is no bool", what_, value.integers.back());
        return;
      case GgufKind::kString:
        value.strings.push_back(string());
        return;
      case GgufKind::kArray:
        bad("{}: arrays of arrays are not supported", what_);
    }
  }

  void read_key() {
    what_ = "the table of keys";
    std::string key = string();
    if (key.empty()) bad("a key is empty");
    what_ = "key " + shown_text(key);
    GgufValue value;
    value.kind = kind();
    uint64_t elements = 1;
    if (value.kind == GgufKind::kArray) {
      value.array = true;
      value.kind = kind();
      elements = count("elements", number<uint64_t>(), bytes_of(value.kind));
    }
    for (uint64_t i = 0; i < elements; ++i) read_element(value);
    header_.metadata.add(std::move(key), std::move(value));
  }

  void read_alignment() {
    const int64_t alignment = header_.metadata.integer("general.alignment", kGgufAlignment);
    if (alignment < 1 || alignment > (1 << 30) ||
        !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      bad("general.alignment is {}, wanted a power of two", alignment);
    }
    header_.alignment = alignment;
  }

  void read_tensor() {
    what_ = "the table of tensors";
    GgufTensor tensor;
    tensor.name = string();
    what_ = "tensor " + shown_text(tensor.name);
    if (!names_.insert(tensor.name).second) bad("{} appears twice", what_);
    const auto rank = number<uint32_t>();
    if (rank > kMaxRank) bad("{} has {} dims, at most {} are allowed", what_, rank, kMaxRank);
    uint64_t dims[kMaxRank] = {};
    for (uint32_t i = rank; i-- > 0;) dims[i] = number<uint64_t>();  // the file: innermost first
    const auto type = number<uint32_t>();
    const auto dtype = dtype_from_gguf_type(type);
    if (!dtype && !foreign_gguf_type(type).empty()) {
      bad("{} is {}, which this version cannot read; convert the model to another type", what_,
          foreign_gguf_type(type));
    }
    if (!dtype) bad("{} has type {}, which is not known", what_, type);
    tensor.dtype = *dtype;
    set_shape(tensor, std::span(dims, rank));
    tensor.offset = number<uint64_t>();
    if (tensor.offset % static_cast<uint64_t>(header_.alignment) != 0) {
      bad("{} lies at byte {} of the data, which is no multiple of the alignment {}", what_,
          tensor.offset, header_.alignment);
    }
    header_.tensors.push_back(std::move(tensor));
  }

  void set_shape(GgufTensor& tensor, std::span<const uint64_t> dims) const {
    int64_t elements = 1, sizes[kMaxRank] = {};
    for (size_t i = 0; i < dims.size(); ++i) {
      if (dims[i] == 0 || dims[i] > INT64_MAX ||
          __builtin_mul_overflow(elements, static_cast<int64_t>(dims[i]), &elements) ||
          elements > INT64_MAX / 8) {
        bad("{} has a dim of {}, which is empty or too large", what_, dims[i]);
      }
      sizes[i] = static_cast<int64_t>(dims[i]);
    }
    const int64_t row = dims.empty() ? 1 : sizes[dims.size() - 1];
    if (row % block_elements(tensor.dtype) != 0) {
      bad("{} has rows of {}, which are no whole blocks of {}", what_, row,
          ashlar::name(tensor.dtype));
    }
    tensor.shape = Shape(std::span<const int64_t>(sizes, dims.size()));
    tensor.bytes = static_cast<uint64_t>(ashlar::bytes_of(tensor.dtype, elements));
  }

  void check_places() {
    std::ranges::stable_sort(header_.tensors, {}, &GgufTensor::offset);
    const uint64_t begin = std::min<uint64_t>(header_.data_begin, file_.size());
    const uint64_t room = file_.size() - begin;
    uint64_t end = 0;
    for (const GgufTensor& tensor : header_.tensors) {
      if (tensor.offset < end) bad("tensor {} overlaps another", shown_text(tensor.name));
      if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
        bad("tensor {} needs {} bytes from byte {} on, the file has {}", shown_text(tensor.name),
            tensor.bytes, begin + tensor.offset, file_.size());
      }
      // As ggml has it: a tensor begins where the one before ends, up to the alignment.
      const uint64_t wanted = padded_bytes(end, header_.alignment);
      if (tensor.offset != wanted) {
        bad("tensor {} lies at byte {} of the data, wanted {}: a hole that belongs to no tensor",
            shown_text(tensor.name), tensor.offset, wanted);
      }
      end = tensor.offset + tensor.bytes;
    }
  }

  std::span<const std::byte> file_;
  const std::string& path_;
  uint64_t at_ = 0;
  std::string what_;  // is being read
  GgufHeader header_;
  std::unordered_set<std::string> names_;
};

}  // namespace

bool is_gguf(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() &&
         std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& path) {
  return Parser(file, path).parse();
}

}  // namespace ashlar::formats
