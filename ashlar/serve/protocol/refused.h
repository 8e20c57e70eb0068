// Fields that change what an answer means and that this server has not: they are refused by name,
// never ignored. Those that other servers know pass with a value that asks for nothing.
#pragma once

#include "ashlar/serve/protocol/fields.h"

namespace ashlar::serve {

void refuse_completion_fields(const Fields& body);
void refuse_chat_fields(const Fields& body);

// After everything was read: what nobody knows, such as a misspelt name.
void refuse_unknown_fields(const Fields& body);

}  // namespace ashlar::serve
