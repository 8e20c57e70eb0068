#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_model.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/text/chat_template.h"
#include "ashlar/text/tokenizer.h"
#include "tests/fuzz/inputs.h"

#include <fmt/format.h>

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

namespace ashlar::testing {
namespace {

// A file in memory that has a name.
class NamedBytes {
 public:
  explicit NamedBytes(std::string_view bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != std::ssize(bytes)) {
      fail("no file of {} bytes in memory", bytes.size());
    }
  }
  ~NamedBytes() { ::close(fd_); }
  NamedBytes(const NamedBytes&) = delete;
  NamedBytes& operator=(const NamedBytes&) = delete;

  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

void read_texts(const formats::GgufMetadata& metadata) {
  for (const auto& source : bundle::gguf_chat_files(metadata).templates) {
    text::ChatTemplate::parse(source.source, source.where);
  }
  if (!bundle::has_tokenizer(metadata)) return;
  const auto tokenizer =
      text::Tokenizer::from_json(bundle::tokenizer_json(metadata), metadata.where());
  tokenizer.decode(tokenizer.encode("Ab c, \u00e9 12", true), false);
}

}  // namespace

void read_gguf(std::string_view bytes) {
  const NamedBytes file(bytes);
  std::unique_ptr<const formats::GgufReader> reader;
  try {
    reader = std::make_unique<const formats::GgufReader>(file.path());
  } catch (const Error&) {
    return;
  }
  for (const std::string& name : reader->names()) {
    const Tensor tensor = reader->tensor(name);
    std::string(reinterpret_cast<const char*>(tensor.data()), tensor.bytes()).shrink_to_fit();
  }
  try {
    read_texts(reader->metadata());
  } catch (const Error&) {
  }
  try {
    const models::DecoderConfig config = bundle::gguf_config(*reader);
    bundle::gguf_generation(reader->metadata());
    bundle::gguf_weights(std::move(reader), config);
  } catch (const Error&) {
  }
}

}  // namespace ashlar::testing
