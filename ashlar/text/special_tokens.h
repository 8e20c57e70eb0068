// The special tokens of a model directory by the names that chat templates know them by.
#pragma once

#include "ashlar/text/jinja/dict.h"

#include <string>
#include <utility>
#include <vector>

namespace ashlar::text {

// {"bos_token", "<s>"}, ...
using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

// What tokenizer_config.json says of them, and special_tokens_map.json where it still counts (null
// where there is none), as transformers reads them: the seven known names, every other key that
// ends in `_token` and holds a token, a dict of extra_special_tokens; for a name that no file has,
// what the config's tokenizer_class has by itself. A token is a string or an AddedToken object.
SpecialTokens special_tokens_of(const jinja::Dict& config, const jinja::Dict* map);

}  // namespace ashlar::text
