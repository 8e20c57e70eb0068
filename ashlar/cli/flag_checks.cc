#include "ashlar/cli/flag_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

namespace ashlar::cli {
namespace {

template <typename T>
std::optional<T> parse(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> whole_number(std::string_view text) { return parse<int64_t>(text); }

std::string complaint(const std::string& found, const std::string& wanted) {
  return fmt::format("found {}, wanted {}", found.empty() ? "nothing" : found, wanted);
}

std::string choice_complaint(const std::string& found, const std::vector<std::string>& names) {
  const std::vector<std::string> but_last(names.begin(), names.end() - 1);
  return complaint(found, fmt::format("{} or {}", fmt::join(but_last, ", "), names.back()));
}

CLI::Validator number_that(bool (*fits)(double value, double bound), double bound,
                           const std::string& wanted) {
  return {[fits, bound, wanted](std::string& text) {
            const std::optional<double> value = parse<double>(text);
            return value && std::isfinite(*value) && fits(*value, bound) ? ""
                                                                         : complaint(text, wanted);
          },
          ""};
}

}  // namespace

CLI::Validator positive() {
  return {[](std::string& text) {
            const std::optional<int64_t> value = whole_number(text);
            return value && *value > 0 ? "" : complaint(text, "a whole number above 0");
          },
          ""};
}

CLI::Validator between(int64_t least, int64_t most) {
  return {[least, most](std::string& text) {
            const std::optional<int64_t> value = whole_number(text);
            return value && *value >= least && *value <= most
                       ? ""
                       : complaint(text, fmt::format("a whole number from {} to {}", least, most));
          },
          ""};
}

CLI::Validator number_between(double least, double most) {
  return {[least, most](std::string& text) {
            const std::optional<double> value = parse<double>(text);
            return value && *value >= least && *value <= most
                       ? ""
                       : complaint(text, fmt::format("a number from {} to {}", least, most));
          },
          ""};
}

CLI::Validator number_at_least(double least) {
  return number_that([](double value, double bound) { return value >= bound; }, least,
                     fmt::format("a number of at least {}", least));
}

CLI::Validator number_above(double bound) {
  return number_that([](double value, double least) { return value > least; }, bound,
                     fmt::format("a number above {}", bound));
}

CLI::Validator seed_number() {
  return {[](std::string& text) {
            return parse<uint64_t>(text) ? ""
                                         : complaint(text, "a whole number from 0 to 2^64 - 1");
          },
          ""};
}

CLI::Validator one_of(std::vector<std::string> names) {
  return {[names = std::move(names)](std::string& text) {
            const bool known = std::ranges::find(names, text) != names.end();
            return known ? "" : choice_complaint(text, names);
          },
          ""};
}

CLI::Validator named_value(std::vector<std::pair<std::string, int64_t>> values) {
  return {[values = std::move(values)](std::string& text) -> std::string {
            std::vector<std::string> names;
            for (const auto& [name, value] : values) {
              names.push_back(name);
              if (name != text) continue;
              text = fmt::to_string(value);
              return "";
            }
            return choice_complaint(text, names);
          },
          ""};
}

CLI::Validator compute_dtype() {
  return named_value(
      {{"f32", static_cast<int64_t>(DType::kF32)}, {"bf16", static_cast<int64_t>(DType::kBF16)}});
}

CLI::Validator weight_dtype() {
  std::vector<std::pair<std::string, int64_t>> values;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0,
                            DType::kQ4K, DType::kQ6K}) {
    values.emplace_back(name(dtype), static_cast<int64_t>(dtype));
  }
  const CLI::Validator named = named_value(std::move(values));
  return {[named](std::string& text) {
            // llama.cpp writes Q8_0.
            std::ranges::transform(text, text.begin(),
                                   [](unsigned char c) { return std::tolower(c); });
            return named(text);
          },
          ""};
}

}  // namespace ashlar::cli
