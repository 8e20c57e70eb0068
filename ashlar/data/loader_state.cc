#include "ashlar/data/loader_state.h"

#include "ashlar/base/error.h"
#include "ashlar/base/json.h"

#include <nlohmann/json.hpp>

namespace ashlar::data {

using nlohmann::json;

std::string LoaderState::to_json() const {
  const json state = {{"rows", rows},
                      {"epoch", epoch},
                      {"position", position},
                      {"seed", seed},
                      {"data", fmt::format("{:016x}", data)}};
  return state.dump(2) + "\n";
}

LoaderState LoaderState::from_json(std::string_view text, const std::string& source) {
  const json parsed = parse_json<nlohmann::json>(text, source);
  LoaderState state;
  try {
    state.rows = parsed.at("rows").get<int64_t>();
    state.epoch = parsed.at("epoch").get<int64_t>();
    state.position = parsed.at("position").get<int64_t>();
    state.seed = parsed.at("seed").get<uint64_t>();
    const auto hex = parsed.at("data").get<std::string>();
    size_t read = 0;
    state.data = std::stoull(hex, &read, 16);
    ASHLAR_CHECK(read == hex.size(), "{}: data: \"{}\" is not a hexadecimal number", source, hex);
  } catch (const json::exception& error) {
    fail("{}: {}", source, error.what());
  } catch (const std::logic_error&) {  // of stoull
    fail("{}: data: not a hexadecimal number", source);
  }
  ASHLAR_CHECK(state.rows >= 0, "{}: rows: {} is negative", source, state.rows);
  return state;
}

}  // namespace ashlar::data
