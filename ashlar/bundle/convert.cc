#include "ashlar/bundle/convert.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/gguf_families.h"
#include "ashlar/bundle/gguf_model.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/bundle/parameter_reader.h"
#include "ashlar/bundle/rope_divisors.h"
#include "ashlar/bundle/save_bundle.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/models/decoder_graphs.h"

#include <algorithm>
#include <map>
#include <vector>

namespace ashlar::bundle {
namespace {

constexpr const char* kRopeFreqs = "rope_freqs.weight";
constexpr int64_t kStepBytes = int64_t{1} << 23;  // of f32 at once
constexpr int64_t kQuantizationVersion = 2;       // of the layouts in tensor/blocks.h

// The parameters of a model, checked, to be read by rows.
struct Source {
  explicit Source(const Bundle& model)
      : weights(model.open_weights()),
        graph(models::build_logits(model.config(), {.max_positions = 1})) {
    check_weights(weights, model.config(), graph, model.path());
  }
  Weights weights;
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

class TensorWriter {
 public:
  TensorWriter(ParameterReader& reader, ThreadPool& pool) : reader_(reader), pool_(pool) {}

  void write(const models::WeightRule& rule, const formats::TensorSpec& spec,
             const formats::WriteBytes& out) {
    for (const std::string& parameter : rule.parameters) {
      const Shape& shape = reader_.shape(parameter);
      const bool vector = shape.rank() == 1;
      length_ = shape[shape.rank() - 1];
      const int64_t rows = shape.elements() / length_;
      const int64_t step = std::max<int64_t>(kStepBytes / 4 / length_, 1);
      for (int64_t begin = 0; begin < rows; begin += step) {
        const int64_t count = std::min(step, rows - begin);
        values_.resize(static_cast<size_t>(count * length_));
        if (vector) {
          read_vector(parameter, rule.paired_heads);
        } else {
          read_rows(parameter, rule.paired_heads, begin, count, rows);
        }
        for (float& value : values_) value += rule.added;
        convert_rows(spec.dtype, count, out);
      }
    }
  }

 private:
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

  void convert_rows(DType dtype, int64_t count, const formats::WriteBytes& out) {
    const int64_t row_bytes = bytes_of(dtype, length_);
    bytes_.resize(static_cast<size_t>(count * row_bytes));
    pool_.parallel_for(count, [&](int64_t row, int) {
      convert(DType::kF32, values_.data() + row * length_, dtype, bytes_.data() + row * row_bytes,
              length_);
    });
    out(bytes_);
  }

  ParameterReader& reader_;
  ThreadPool& pool_;
  int64_t length_ = 0;
  std::vector<float> values_;
  std::vector<std::byte> bytes_;
};

formats::GgufMetadata describe(const Bundle& model, const QuantMix& mix) {
  formats::GgufMetadata metadata("gguf");
  metadata.set("general.architecture", gguf_family(model.config().family).architecture);
  metadata.set("general.type", "model");
  metadata.set("general.name", file_name(model.path()));
  metadata.set_u32("general.file_type", mix.file_type);
  if (is_block(mix.type)) metadata.set_u32("general.quantization_version", kQuantizationVersion);
  describe_model(model.config(), metadata);
  describe_tokenizer(model, metadata);
  return metadata;
}

}  // namespace

int64_t write_gguf_model(const Bundle& model, const std::string& path, const QuantMix& mix,
                         ThreadPool& pool, const OnConverted& on_converted) {
  const models::DecoderConfig& config = model.config();
  const formats::GgufMetadata metadata = describe(model, mix);
  const Source source(model);
  ParameterReader reader(source.weights, source.graph);

  std::vector<formats::TensorSpec> tensors;
  std::map<std::string, models::WeightRule> rules;
  int64_t total = 0;
  const auto add = [&](const std::string& name, const Shape& shape, DType dtype) {
    tensors.push_back({name, dtype, shape});
    total += bytes_of(dtype, shape.elements());
  };
  for (models::WeightRule& rule : gguf_rules(config)) {
    const Shape shape = shape_of(rule, reader);
    add(rule.tensor, shape, tensor_type(mix, rule.tensor, shape, config));
    rules.emplace(tensors.back().name, std::move(rule));
  }
  const std::vector<float> divisors = config.rope.scaling == models::RopeScaling::kLlama3
                                          ? rope_divisors(config.rope)
                                          : std::vector<float>{};
  if (!divisors.empty()) {
    add(kRopeFreqs, {static_cast<int64_t>(divisors.size())}, DType::kF32);
  }

  TensorWriter writer(reader, pool);
  int64_t done = 0;
  formats::write_gguf(
      path, metadata, tensors,
      [&](const formats::TensorSpec& spec, const formats::WriteBytes& write) {
        const auto counted = [&](std::span<const std::byte> bytes) {
          write(bytes);
          done += static_cast<int64_t>(bytes.size());
          on_converted(done, total);
        };
        if (spec.name == kRopeFreqs) return counted(std::as_bytes(std::span(divisors)));
        writer.write(rules.at(spec.name), spec, counted);
      },
      "convert");
  return total;
}

int64_t write_folder_model(const Bundle& model, const std::string& folder, DType dtype,
                           const OnConverted& on_converted) {
  const Source source(model);
  ParameterReader reader(source.weights, source.graph);
  SaveOptions options;
  options.dtype = dtype;
  options.text_files = model.text_files();
  options.label = "convert";
  const WeightPlan plan = plan_weights(
      model.config(), [&](const std::string& name) { return reader.shape(name); }, options, 1);
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
        done += static_cast<int64_t>(tensor.bytes());
        on_converted(done, total);
        return tensor;
      },
      options);
  write_texts(target.path(), plan, model.config(), options);
  target.commit();
  return total;
}

}  // namespace ashlar::bundle
