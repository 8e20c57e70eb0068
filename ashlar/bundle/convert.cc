#include "ashlar/bundle/convert.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/log.h"
#include "ashlar/bundle/gguf_encoder.h"
#include "ashlar/bundle/gguf_families.h"
#include "ashlar/bundle/gguf_model.h"
#include "ashlar/bundle/gguf_names.h"
#include "ashlar/bundle/gguf_rope.h"
#include "ashlar/bundle/gguf_tensors.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/bundle/parameter_reader.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/models/decoder_graphs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <vector>

namespace ashlar::bundle {
namespace {

constexpr int64_t kStepBytes = int64_t{1} << 23;  // of f32 at once
constexpr int64_t kQuantizationVersion = 2;       // of the layouts in tensor/blocks.h

// Of an encoder whose files may lack the head for masked tokens.
bool has_head(const models::DecoderConfig& config, const Weights& weights) {
  if (config.causal) return true;
  return std::ranges::any_of(weights.rules(), [&](const models::WeightRule& rule) {
    return rule.parameters.front() == "head.dense.weight" &&
           weights.contains(weights.name_of(rule));
  });
}

enum class Head : uint8_t { kWhereThereIs, kOfDecoders };

// The parameters of a model, checked, to be read by rows.
struct Source {
  Source(const Bundle& model, Head head)
      : weights(model.open_weights()), config(model.description()) {
    const models::DecoderOptions options{.max_positions = 1};
    const bool whole = head == Head::kWhereThereIs ? has_head(config, weights) : config.causal;
    graph = whole ? models::build_logits(config, options) : models::build_hidden(config, options);
    config.head_transform.enabled = config.head_transform.enabled && whole;
    check_weights(weights, config, graph, model.path());
  }
  Weights weights;
  models::DecoderConfig config;  // of what is written
  graph::Graph graph;
};

Shape shape_of(const models::WeightRule& rule, const ParameterReader& reader) {
  Shape shape = reader.shape(rule.parameters.front());
  for (size_t i = 1; i < rule.parameters.size(); ++i) {
    shape[0] += reader.shape(rule.parameters[i])[0];
  }
  return shape;
}

// Row `row` of a tensor in our order, where llama.cpp's lies at `row` in its own.
int64_t our_row(int64_t row, int64_t rows, int64_t heads) {
  if (heads == 0) return row;
  const int64_t head = rows / heads;
  return row / head * head + row % head / 2 + row % 2 * (head / 2);
}

// Which rows of a rule's parameters a tensor holds: all, or of latent attention's pairs the keys'
// (transposed) or the values' of each head.
enum class Rows : uint8_t { kAll, kLatentKeys, kLatentValues };

// A tensor of the file to be written.
struct Target {
  models::WeightRule rule;
  Rows rows = Rows::kAll;
  int64_t first_row = 0;  // of the parameter; those before it are left away
};

void check_finite(const Tensor& tensor, const std::string& parameter) {
  const std::span values = tensor.span<f16>();
  const bool finite =
      std::ranges::all_of(values, [](f16 value) { return std::isfinite(to_float(value)); });
  ASHLAR_CHECK(finite, "{} holds what f16 has no place for (at most 65504); convert to bf16 or f32",
               parameter);
}

// f16, and blocks, whose scales are f16, have no place for what is larger, nor blocks for NaN.
void check_range(std::span<const float> values, DType dtype, const std::string& tensor) {
  if (dtype == DType::kF32 || dtype == DType::kBF16) return;
  constexpr float kLargest = 65504;
  const auto beyond =
      std::ranges::find_if(values, [](float value) { return !(std::abs(value) <= kLargest); });
  ASHLAR_CHECK(beyond == values.end(),
               "tensor {} holds {}, which {} has no place for (at most {}); convert to bf16 or f32",
               tensor, *beyond, name(dtype), kLargest);
}

class TensorWriter {
 public:
  TensorWriter(ParameterReader& reader, const models::LatentConfig& latent, ThreadPool& pool)
      : reader_(reader), latent_(latent), pool_(pool) {}

  void write(const Target& target, const formats::TensorSpec& spec,
             const formats::WriteBytes& out) {
    const models::WeightRule& rule = target.rule;
    if (target.rows != Rows::kAll) return write_heads(target, spec, out);
    for (const std::string& parameter : rule.parameters) {
      const Shape& shape = reader_.shape(parameter);
      const bool vector = shape.rank() == 1;
      length_ = shape[shape.rank() - 1];
      const int64_t rows = shape.elements() / length_;
      const int64_t step = std::max<int64_t>(kStepBytes / 4 / length_, 1);
      for (int64_t begin = target.first_row; begin < rows; begin += step) {
        const int64_t count = std::min(step, rows - begin);
        values_.resize(static_cast<size_t>(count * length_));
        if (vector) {
          read_vector(parameter, rule.paired_heads);
        } else {
          read_rows(parameter, rule.paired_heads, begin, count, rows);
        }
        for (float& value : values_) value += rule.added;
        convert_rows(spec, count, out);
      }
    }
  }

 private:
  // Of each head its keys [rank, own] or values [value, rank], where the parameter has the keys'
  // rows [own, rank], then the values'.
  void write_heads(const Target& target, const formats::TensorSpec& spec,
                   const formats::WriteBytes& out) {
    const std::string& parameter = target.rule.parameters.front();
    const bool keys = target.rows == Rows::kLatentKeys;
    const int64_t heads = spec.shape[0], rows = spec.shape[1];
    length_ = spec.shape[2];
    values_.resize(static_cast<size_t>(rows * length_));
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t first = head * (latent_.own + latent_.value);
      if (keys) {
        std::vector<float> plain(values_.size());
        reader_.read_rows(parameter, first, first + latent_.own, plain.data());
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < length_; ++j) {
            values_[static_cast<size_t>(i * length_ + j)] =
                plain[static_cast<size_t>(j * rows + i)];
          }
        }
      } else {
        reader_.read_rows(parameter, first + latent_.own, first + latent_.own + latent_.value,
                          values_.data());
      }
      convert_rows(spec, rows, out);
    }
  }

  void read_vector(const std::string& parameter, int64_t heads) {
    std::vector<float> ours(values_.size());
    reader_.read_rows(parameter, 0, 1, ours.data());
    for (int64_t i = 0; i < length_; ++i) {
      values_[static_cast<size_t>(i)] = ours[static_cast<size_t>(our_row(i, length_, heads))];
    }
  }

  void read_rows(const std::string& parameter, int64_t heads, int64_t begin, int64_t count,
                 int64_t rows) {
    if (heads == 0) return reader_.read_rows(parameter, begin, begin + count, values_.data());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = our_row(begin + i, rows, heads);
      reader_.read_rows(parameter, row, row + 1, values_.data() + i * length_);
    }
  }

  void convert_rows(const formats::TensorSpec& spec, int64_t count,
                    const formats::WriteBytes& out) {
    const DType dtype = spec.dtype;
    check_range(values_, dtype, spec.name);
    const int64_t row_bytes = bytes_of(dtype, length_);
    bytes_.resize(static_cast<size_t>(count * row_bytes));
    pool_.parallel_for(count, [&](int64_t row, int) {
      convert(DType::kF32, values_.data() + row * length_, dtype, bytes_.data() + row * row_bytes,
              length_);
    });
    out(bytes_);
  }

  ParameterReader& reader_;
  const models::LatentConfig& latent_;
  ThreadPool& pool_;
  int64_t length_ = 0;
  std::vector<float> values_;
  std::vector<std::byte> bytes_;
};

// One that says what gguf_tokenizer.h asks of it.
std::string general_name(const Bundle& model) {
  const std::string name = model_name(model.path());
  return model.description().family == "phi3" && !says_phi3(name) ? name + " (phi-3)" : name;
}

formats::GgufMetadata describe(const Bundle& model, const QuantMix& mix,
                               const GgufEmbedding& embedding) {
  formats::GgufMetadata metadata("gguf");
  const models::DecoderConfig& config = model.description();
  if (config.causal) {
    metadata.set("general.architecture", gguf_family(config.family).architecture);
    describe_model(config, metadata);
  } else {
    describe_encoder(as_gguf_encoder(config), metadata);
  }
  if (!config.causal || !embedding.pooling.empty()) describe_embedding(embedding, metadata);
  metadata.set("general.type", "model");
  metadata.set("general.name", general_name(model));
  metadata.set_u32("general.file_type", mix.file_type);
  if (is_block(mix.type)) metadata.set_u32("general.quantization_version", kQuantizationVersion);
  describe_tokenizer(model, metadata);
  if (config.causal) write_gguf_sampling(model.generation(), metadata);
  return metadata;
}

// The tensors of the file, by name: rules' own, a tied head once more where the architecture wants
// one, keys and values of latent attention apart.
std::map<std::string, Target> plan_targets(const models::DecoderConfig& config,
                                           const ParameterReader& reader, const QuantMix& mix,
                                           std::vector<formats::TensorSpec>& specs) {
  const GgufFamily& family = gguf_family(config.family);
  std::map<std::string, Target> targets;
  const auto add = [&](const std::string& name, const Shape& shape, Target target) {
    specs.push_back({name, tensor_type(mix, name, shape, config), shape});
    targets.emplace(name, std::move(target));
  };
  for (models::WeightRule& rule : gguf_rules(config, family.merged_qkv)) {
    const std::string name = rule.tensor;
    const Shape shape = shape_of(rule, reader);
    if (is_latent_pair(name)) {
      const models::LatentConfig& latent = config.latent;
      add(latent_keys(name), {config.heads, latent.rank, latent.own}, {rule, Rows::kLatentKeys});
      add(latent_values(name), {config.heads, latent.value, latent.rank},
          {std::move(rule), Rows::kLatentValues});
    } else {
      add(name, is_row_vector(name) ? Shape{shape.elements()} : shape, {std::move(rule)});
    }
  }
  if (family.head_required && config.tied_head) {
    const models::WeightRule head{.tensor = "output.weight", .parameters = {"embed.weight"}};
    add(head.tensor, shape_of(head, reader), {head});
  }
  return targets;
}

// Those of an encoder: the positions from the first token's on.
std::map<std::string, Target> plan_encoder(const models::DecoderConfig& config,
                                           const ParameterReader& reader, const QuantMix& mix,
                                           std::vector<formats::TensorSpec>& specs) {
  std::map<std::string, Target> targets;
  const models::DecoderConfig written = as_gguf_encoder(config);
  for (models::WeightRule& rule : gguf_encoder_rules(config, gguf_encoder_merged(written))) {
    Shape shape = shape_of(rule, reader);
    const int64_t first = rule.tensor == "position_embd.weight" ? config.position_offset : 0;
    shape[0] -= first;
    specs.push_back({rule.tensor, tensor_type(mix, rule.tensor, shape, written), shape});
    const std::string name = rule.tensor;
    targets.emplace(name, Target{std::move(rule), Rows::kAll, first});
  }
  return targets;
}

// Matrices whose rows the asked-for blocks do not divide have others (quant_mix.h).
void warn_of_rows(const QuantMix& mix, const std::vector<formats::TensorSpec>& specs) {
  const int64_t block = block_elements(mix.type);
  const auto is_cut = [&](const formats::TensorSpec& spec) {
    return spec.dtype != DType::kF32 && spec.shape[spec.shape.rank() - 1] % block != 0;
  };
  const auto first = std::ranges::find_if(specs, is_cut);
  if (first == specs.end()) return;
  log::warn(
      "convert note=\"rows of {} of {} tensors are no multiple of {}, the block of {}: {} is {} "
      "instead\"",
      std::ranges::count_if(specs, is_cut), specs.size(), block, name(mix.type), first->name,
      name(first->dtype));
}

// What is about to be written, as a reader will see it.
void check_plan(const models::DecoderConfig& config, const formats::GgufMetadata& metadata,
                const std::vector<formats::TensorSpec>& specs,
                const std::map<std::string, std::vector<float>>& factors) {
  check_described(config, {metadata,
                           [&](const std::string& name) -> const formats::TensorSpec* {
                             const auto found =
                                 std::ranges::find(specs, name, &formats::TensorSpec::name);
                             return found == specs.end() ? nullptr : &*found;
                           },
                           [&](const std::string& name) { return factors.at(name); }});
}

}  // namespace

DType plain_type(const Bundle& model) {
  const Weights weights = model.open_weights();
  std::map<DType, int64_t> elements;
  for (const std::string& name : weights.names()) {
    const formats::TensorSpec& spec = weights.entry(name);
    const bool wide = spec.dtype != DType::kF16 && spec.dtype != DType::kBF16;
    elements[wide ? DType::kF32 : spec.dtype] += spec.shape.elements();
  }
  const auto most = std::ranges::max_element(elements, {}, [](const auto& e) { return e.second; });
  return most == elements.end() ? DType::kF32 : most->first;
}

int64_t write_gguf_model(const Bundle& model, const std::string& path, const QuantMix& mix,
                         ThreadPool& pool, const OnConverted& on_converted,
                         const GgufEmbedding& embedding) {
  const models::DecoderConfig& config = model.description();
  const formats::GgufMetadata metadata = describe(model, mix, embedding);
  const Source source(model, Head::kOfDecoders);
  ParameterReader reader(source.weights, source.graph);

  std::vector<formats::TensorSpec> tensors;
  const std::map<std::string, Target> targets = config.causal
                                                    ? plan_targets(config, reader, mix, tensors)
                                                    : plan_encoder(config, reader, mix, tensors);
  if (is_block(mix.type)) warn_of_rows(mix, tensors);
  std::map<std::string, std::vector<float>> factors;
  if (config.causal) factors = gguf_rope_tensors(config);
  for (const auto& [name, values] : factors) {
    tensors.push_back({name, DType::kF32, {std::ssize(values)}});
  }
  if (config.causal) check_plan(config, metadata, tensors, factors);
  int64_t total = 0, done = 0;
  for (const formats::TensorSpec& spec : tensors) {
    total += bytes_of(spec.dtype, spec.shape.elements());
  }

  TensorWriter writer(reader, config.latent, pool);
  formats::write_gguf(
      path, metadata, tensors,
      [&](const formats::TensorSpec& spec, const formats::WriteBytes& write) {
        const auto counted = [&](std::span<const std::byte> bytes) {
          write(bytes);
          done += static_cast<int64_t>(bytes.size());
          on_converted(done, total);
        };
        const auto small = factors.find(spec.name);
        if (small != factors.end()) return counted(std::as_bytes(std::span(small->second)));
        writer.write(targets.at(spec.name), spec, counted);
      },
      "convert");
  return total;
}

int64_t write_folder_model(const Bundle& model, const std::string& folder, DType dtype,
                           const OnConverted& on_converted) {
  const Source source(model, Head::kWhereThereIs);
  ParameterReader reader(source.weights, source.graph);
  SaveOptions options;
  options.dtype = dtype;
  options.text_files = model.text_files();
  options.label = "convert";
  const WeightPlan plan = plan_weights(
      source.config, [&](const std::string& name) { return reader.shape(name); }, options, 1);
  int64_t total = 0, done = 0;
  for (const formats::ModelFile& file : plan.files) {
    for (const formats::TensorSpec& spec : file.tensors) {
      total += bytes_of(spec.dtype, spec.shape.elements());
    }
  }
  AtomicDirectory target(folder, options.label);
  write_weights(
      target.path(), plan, 0,
      [&](const ParameterPart& part) {
        Tensor tensor = reader.read(part.name, part.part.front(), dtype);
        if (dtype == DType::kF16) check_finite(tensor, part.name);
        done += static_cast<int64_t>(tensor.bytes());
        on_converted(done, total);
        return tensor;
      },
      options);
  write_texts(target.path(), plan, source.config, options);
  target.commit();
  return total;
}

}  // namespace ashlar::bundle
