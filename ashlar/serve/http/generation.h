// One request for text on its way through the backend: events in, a JSON body or a stream of
// server-sent events out. Cancelled when the client goes away.
#pragma once

#include "ashlar/serve/http/api.h"
#include "ashlar/serve/http/exchange.h"
#include "ashlar/serve/protocol/call.h"

namespace ashlar::serve {

// Throws RequestError when the backend does not take the request.
void start_generation(const ApiParts& parts, Exchange& exchange, GenerateCall call);

}  // namespace ashlar::serve
