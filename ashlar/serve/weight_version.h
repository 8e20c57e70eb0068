// Tells weights apart: which ones gave an answer.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/formats/tensor_file.h"
#include "ashlar/generate/open_model.h"

#include <string>

namespace ashlar::serve {

// 16 hexadecimal digits of every tensor's name, dtype, shape and all its bytes (XXH64): the same
// for the same weights however they are cut into files, another when any value differs.
std::string weight_version(const formats::TensorFile& weights, ThreadPool& pool,
                           const generate::OnLoading& on_loading = nullptr);

}  // namespace ashlar::serve
