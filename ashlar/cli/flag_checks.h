// Checks of flags whose complaint is one line of plain words: `--batch: found 0, wanted a whole
// number above 0`.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::cli {

CLI::Validator positive();
CLI::Validator between(int64_t least, int64_t most);
// Any number from the one to the other.
CLI::Validator number_between(double least, double most);
CLI::Validator number_at_least(double least);
CLI::Validator number_above(double bound);
CLI::Validator seed_number();
CLI::Validator one_of(std::vector<std::string> names);

// Turns a name into its number, from which CLI11 makes the enumerator.
CLI::Validator named_value(std::vector<std::pair<std::string, int64_t>> values);
// f32 or bf16.
CLI::Validator compute_dtype();
// What weights may be held in: the same, or the blocks that the kernels multiply.
CLI::Validator weight_dtype();

}  // namespace ashlar::cli
