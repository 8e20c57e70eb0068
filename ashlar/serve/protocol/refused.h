// Fields other servers know that change what an answer means and that this one has not: they are
// refused by name, never ignored. Given with a value that asks for nothing, they pass.
#pragma once

#include "ashlar/serve/protocol/fields.h"

namespace ashlar::serve {

void refuse_completion_fields(const Fields& body);
void refuse_chat_fields(const Fields& body);

}  // namespace ashlar::serve
