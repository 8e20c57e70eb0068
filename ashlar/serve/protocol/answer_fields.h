// Parts of a response body that several routes share.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/json_value.h"

#include <string_view>

namespace ashlar::serve {

std::string_view finish_reason(FinishReason reason);

JsonObject usage_object(const Usage& usage);

JsonArray id_array(const TokenIds& ids);

}  // namespace ashlar::serve
