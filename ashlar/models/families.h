// The families there are; family.cc holds the table.
#pragma once

#include "ashlar/models/family.h"

namespace ashlar::models {

Family gpt2_family();
Family llama_family();
Family mixtral_family();

}  // namespace ashlar::models
