#include "ashlar/base/error.h"
#include "ashlar/formats/safetensors_header.h"
#include "tests/fuzz/inputs.h"

#include <span>

namespace ashlar::testing {

void read_safetensors(std::string_view bytes) {
  formats::SafetensorsHeader header;
  try {
    header = formats::parse_safetensors_header(std::as_bytes(std::span(bytes)), "fuzz");
  } catch (const Error&) {
    return;
  }
  const std::string_view data = bytes.substr(header.data_begin);
  uint64_t end = 0;
  for (const formats::TensorEntry& tensor : header.tensors) {
    const std::string_view part = data.substr(tensor.begin, tensor.end - tensor.begin);
    if (tensor.begin != end || part.size() != formats::data_bytes(tensor)) {
      fail("{} lies at [{}, {})", tensor.name, tensor.begin, tensor.end);
    }
    end = tensor.end;
  }
  if (end != data.size()) fail("{} of {} bytes are covered", end, data.size());
}

}  // namespace ashlar::testing
