#include "ashlar/base/error.h"
#include "ashlar/models/family.h"
#include "tests/fuzz/inputs.h"

namespace ashlar::testing {

void read_config(std::string_view bytes) {
  try {
    const models::DecoderConfig config = models::parse_config(bytes, "fuzz");
    models::tensor_names(config);
    models::write_config(config);
  } catch (const Error&) {
  }
}

}  // namespace ashlar::testing
