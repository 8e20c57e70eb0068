#include "ashlar/models/hf_rope.h"

#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace ashlar::models {
namespace {

int64_t rotary_channels(int64_t head_dim, double partial) {
  return static_cast<int64_t>(static_cast<double>(head_dim) * partial);
}

// What scores are multiplied by, as the YaRN paper suggests it for contexts `factor` times as long.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double yarn_attention_factor(HfConfig& scaling, double factor) {
  const double mscale = scaling.number_or("mscale", 0),
               all = scaling.number_or("mscale_all_dim", 0);
  const bool both = mscale != 0 && all != 0;
  const double usual =
      both ? yarn_mscale(factor, mscale) / yarn_mscale(factor, all) : yarn_mscale(factor, 1);
  return scaling.number_or("attention_factor", usual);
}

// Of the context the model was first trained with; the file's own key goes before the scaling's,
// and so does the family's default for it.
int64_t original_positions(HfConfig& keys, HfConfig& scaling, const RopeDefaults& defaults,
                           int64_t max_positions) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const int64_t inner = scaling.size_or(kKey, max_positions);
  return keys.size_or(kKey, defaults.original > 0 ? defaults.original : inner);
}

void read_scaling(HfConfig& keys, HfConfig& scaling, const RopeDefaults& defaults,
                  int64_t max_positions, RopeConfig& rope) {
  scaling.prefer("rope_type", "type");
  std::string type = scaling.text("rope_type", "default");
  if (type == "su" || (type == "yarn" && defaults.yarn_is_long)) type = "longrope";
  const auto original = [&] { return original_positions(keys, scaling, defaults, max_positions); };
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = scaling.number("factor");
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::kDynamic;
    rope.factor = scaling.number("factor");
    scaling.ignore("original_max_position_embeddings");
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.factor = scaling.number("factor");
    rope.low_freq_factor = scaling.number("low_freq_factor");
    rope.high_freq_factor = scaling.number("high_freq_factor");
    rope.original_max_positions = original();
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    rope.original_max_positions = original();
    const double ratio =
        static_cast<double>(max_positions) / static_cast<double>(rope.original_max_positions);
    rope.factor = scaling.number_or("factor", ratio);
    const auto or_usual = [](double value, double usual) { return value == 0 ? usual : value; };
    rope.beta_fast = or_usual(scaling.number_or("beta_fast", 32), 32);
    rope.beta_slow = or_usual(scaling.number_or("beta_slow", 1), 1);
    rope.truncate = scaling.flag("truncate", !scaling.is_null("truncate"));
    rope.attention_factor = yarn_attention_factor(scaling, rope.factor);
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::kLong;
    rope.original_max_positions = original();
    const auto positions = static_cast<double>(rope.original_max_positions);
    rope.factor = scaling.number_or("factor", static_cast<double>(max_positions) / positions);
    const double usual =
        rope.factor <= 1 ? 1 : std::sqrt(1 + std::log(rope.factor) / std::log(positions));
    rope.attention_factor = scaling.number_or("attention_factor", usual);
    rope.short_factors = scaling.numbers("short_factor");
    rope.long_factors = scaling.numbers("long_factor");
    scaling.ignore("short_mscale long_mscale");  // read by no version
  } else {
    ASHLAR_CHECK(type == "default",
                 "{}: rope_scaling type {} is not supported; supported are default, linear, "
                 "dynamic, llama3, yarn, longrope",
                 scaling.where(), shown_text(type));
    scaling.ignore("factor original_max_position_embeddings");  // of no effect
  }
}

nlohmann::ordered_json write_scaling(const RopeConfig& rope) {
  constexpr const char* kOriginal = "original_max_position_embeddings";
  switch (rope.scaling) {
    case RopeScaling::kDefault:
      return nullptr;
    case RopeScaling::kLinear:
      return {{"rope_type", "linear"}, {"factor", rope.factor}};
    case RopeScaling::kDynamic:
      return {{"rope_type", "dynamic"}, {"factor", rope.factor}};
    case RopeScaling::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", rope.factor},
              {"low_freq_factor", rope.low_freq_factor},
              {"high_freq_factor", rope.high_freq_factor},
              {kOriginal, rope.original_max_positions}};
    case RopeScaling::kYarn:
      return {{"rope_type", "yarn"},
              {"factor", rope.factor},
              {"attention_factor", rope.attention_factor},
              {"beta_fast", rope.beta_fast},
              {"beta_slow", rope.beta_slow},
              {"truncate", rope.truncate},
              {kOriginal, rope.original_max_positions}};
    case RopeScaling::kLong:
      return {{"rope_type", "longrope"},
              {"factor", rope.factor},
              {"attention_factor", rope.attention_factor},
              {"short_factor", rope.short_factors},
              {"long_factor", rope.long_factors},
              {kOriginal, rope.original_max_positions}};
  }
  return nullptr;
}

RopeConfig read_object(HfConfig& keys, HfConfig scaling, const DecoderConfig& config,
                       const RopeDefaults& defaults) {
  RopeConfig rope;
  rope.theta = scaling.number("rope_theta", defaults.theta);
  const double partial = scaling.number("partial_rotary_factor", defaults.partial);
  ASHLAR_CHECK(defaults.any_partial || partial == 1,
               "{}: partial_rotary_factor = {} is not supported (only 1)", keys.where(), partial);
  ASHLAR_CHECK(partial >= 0 && partial <= 1,
               "{}: partial_rotary_factor is {}, wanted a number from 0 to 1", keys.where(),
               partial);
  rope.rotary_dim = rotary_channels(config.head_dim, partial);
  read_scaling(keys, scaling, defaults, config.max_positions, rope);
  scaling.finish();
  return rope;
}

}  // namespace

RopeConfig read_rope(HfConfig& keys, const DecoderConfig& config, const RopeDefaults& defaults) {
  RopeDefaults outer = defaults;
  outer.theta = keys.number("rope_theta", defaults.theta);
  outer.partial = keys.number("partial_rotary_factor", defaults.partial);
  if (defaults.by_layer_type) return read_layer_rope(keys, "full_attention", config, outer);
  auto scaling = keys.object("rope_scaling"), parameters = keys.object("rope_parameters");
  if (!scaling) {
    HfConfig only = parameters ? *std::move(parameters) : HfConfig("{}", keys.where());
    return read_object(keys, std::move(only), config, outer);
  }
  const RopeConfig rope = read_object(keys, *std::move(scaling), config, outer);
  // transformers takes rope_scaling in the place of rope_parameters, and loses what only they say.
  const double theta = parameters ? parameters->number("rope_theta", rope.theta) : rope.theta;
  ASHLAR_CHECK(
      theta == rope.theta,
      "{}: rope_scaling, which counts, has no rope_theta, and rope_parameters says {}; put "
      "the keys of rope_scaling into rope_parameters",
      keys.where(), theta);
  return rope;
}

RopeConfig read_layer_rope(HfConfig& keys, const std::string& type, const DecoderConfig& config,
                           const RopeDefaults& defaults, OldScaling old) {
  const bool theirs = old == OldScaling::kTheirs;
  auto scaling = theirs ? keys.object("rope_scaling") : std::nullopt;
  auto types = keys.object("rope_parameters");
  auto of_type = types ? types->object(type) : std::nullopt;
  if (types) {
    types->ignore("full_attention sliding_attention");
    types->finish();
  }
  ASHLAR_CHECK(!scaling || !of_type, "{}: rope_scaling and rope_parameters.{}: wanted one of them",
               keys.where(), type);
  HfConfig object = of_type   ? *std::move(of_type)
                    : scaling ? *std::move(scaling)
                              : HfConfig("{}", keys.where());
  RopeConfig rope = read_object(keys, std::move(object), config, defaults);
  rope.truncate = true;  // transformers looks for it beside the types
  return rope;
}

std::string write_rope_object(const RopeConfig& rope) {
  nlohmann::ordered_json object = write_scaling(rope);
  if (object.is_null()) object = {{"rope_type", "default"}};
  object["rope_theta"] = rope.theta;
  return object.dump();
}

std::string write_rope(const RopeConfig& rope, int64_t head_dim, const RopeDefaults& defaults) {
  nlohmann::ordered_json keys{{"rope_theta", rope.theta}, {"rope_scaling", write_scaling(rope)}};
  if (rope.rotary_dim != head_dim || defaults.partial != 1) {
    // Readers round what it makes of head_dim down.
    double partial = static_cast<double>(rope.rotary_dim) / static_cast<double>(head_dim);
    if (rotary_channels(head_dim, partial) < rope.rotary_dim) partial = std::nextafter(partial, 1);
    keys["partial_rotary_factor"] = partial;
  }
  return keys.dump();
}

}  // namespace ashlar::models
