#include "ashlar/train/moment_files.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/train/save_plan.h"

#include <nlohmann/json.hpp>

namespace ashlar::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLabel = "checkpoint.optimizer";

Json to_json(std::span<const Slice> part) {
  Json slices = Json::array();
  for (const Slice& slice : part) slices.push_back({slice.offset, slice.end()});
  return slices;
}

Part part_from(const Json& slices) {
  Part part;
  for (const Json& slice : slices) {
    const int64_t begin = slice.at(0), end = slice.at(1);
    part.push_back({begin, end - begin});
  }
  return part;
}

// Whether a part that a file claims lies inside the whole.
bool is_inside(const Part& part, const Shape& whole) {
  if (part.size() != static_cast<size_t>(whole.rank())) return false;
  for (size_t dim = 0; dim < part.size(); ++dim) {
    const Slice& slice = part[dim];
    if (slice.offset < 0 || slice.length < 1 || slice.end() > whole[static_cast<int>(dim)]) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string moment_file_name(int ranks, size_t i) {
  return ranks == 1 ? kMoments : fmt::format("state/optimizer-{:05}.safetensors", i + 1);
}

formats::FileRecord write_moments(const std::string& folder, const MomentFile& file,
                                  const GetMoment& get) {
  std::vector<formats::TensorSpec> tensors;
  for (const MomentPart& part : file.parts) {
    tensors.push_back({part.name, part.dtype, Shape(lengths(part.part))});
  }
  formats::SafetensorsOptions options;
  options.label = kLabel;
  // Its checksum comes from writing it: read back, it would be in memory once more.
  formats::FileRecord record = formats::write_safetensors(
      join_path(folder, file.name), tensors,
      [&](const formats::TensorSpec& spec) { return get(spec.name); }, options);
  record.name = file.name;
  return record;
}

formats::FileRecord write_moments_index(const std::string& folder,
                                        const std::vector<MomentFile>& files) {
  Json moments = Json::object();
  for (const MomentFile& file : files) {
    for (const MomentPart& part : file.parts) {
      Json& moment = moments[part.name];
      const auto dims = part.whole.dims();
      moment["shape"] = std::vector(dims.begin(), dims.end());
      moment["parts"].push_back({{"file", file_name(file.name)}, {"slices", to_json(part.part)}});
    }
  }
  const Json index = {{"version", 1}, {"moments", std::move(moments)}};
  write_file(join_path(folder, kMomentsIndex), index.dump(1) + "\n",
             std::string(kLabel) + ".index");
  return formats::record_file(folder, kMomentsIndex);
}

MomentReader::MomentReader(const std::string& folder) : folder_(folder) {
  const std::string index_path = join_path(folder, kMomentsIndex);
  if (!is_file(index_path)) {
    source_ = join_path(folder, kMoments);
    const formats::SafetensorsReader& file = open(kMoments);
    for (const std::string& name : file.names()) {
      const Shape& shape = file.entry(name).shape;
      moments_[name] = {shape, {{kMoments, whole_part(shape.dims())}}};
    }
    return;
  }
  source_ = index_path;
  const Json index = read_json<Json>(index_path);
  try {
    for (const auto& [name, moment] : index.at("moments").items()) {
      Moment& listed = moments_[name];
      listed.whole = Shape(moment.at("shape").get<std::vector<int64_t>>());
      for (const Json& stored : moment.at("parts")) {
        const auto file = stored.at("file").get<std::string>();
        Part part = part_from(stored.at("slices"));
        ASHLAR_CHECK(file.find('/') == std::string::npos && is_inside(part, listed.whole),
                     "{}: tensor '{}' {}: there can be no part {} in file '{}'", index_path, name,
                     listed.whole.str(), str(part), file);
        listed.parts.push_back({"state/" + file, std::move(part)});
      }
    }
  } catch (const Json::exception& error) {
    fail("{}: not an index of moments: {}", index_path, error.what());
  }
}

const formats::SafetensorsReader& MomentReader::open(const std::string& file) {
  auto& reader = files_[file];
  if (!reader) {
    reader = std::make_unique<formats::SafetensorsReader>(join_path(folder_, file));
  }
  return *reader;
}

Tensor MomentReader::read(const graph::Variable& variable, int64_t& bytes) {
  const bool one_rank = variable.part.empty();
  const Shape& whole = one_rank ? variable.shape : variable.whole;
  const Part wanted = one_rank ? whole_part(whole.dims()) : variable.part;
  const auto listed = moments_.find(variable.name);
  ASHLAR_CHECK(listed != moments_.end(), "{}: there is no tensor '{}', the run wants {}{}", source_,
               variable.name, name(variable.dtype), whole.str());
  ASHLAR_CHECK(listed->second.whole == whole, "{}: tensor '{}' is {}, the run wants {}{}", source_,
               variable.name, listed->second.whole.str(), name(variable.dtype), whole.str());
  Tensor own(variable.dtype, variable.shape);
  int64_t covered = 0;
  for (const Stored& stored : listed->second.parts) {
    if (!overlap(stored.part, wanted)) continue;
    const formats::SafetensorsReader& file = open(stored.file);
    const Tensor part = file.tensor(variable.name);
    const Shape shape(lengths(stored.part));
    ASHLAR_CHECK(part.dtype() == variable.dtype && part.shape() == shape,
                 "{}: tensor '{}' is {}{}, the run wants {}{}", join_path(folder_, stored.file),
                 variable.name, name(part.dtype()), part.shape().str(), name(variable.dtype),
                 shape.str());
    covered += copy_overlap(stored.part, part.data(), wanted, own.data(), size_of(part.dtype()));
  }
  ASHLAR_CHECK(covered == static_cast<int64_t>(own.bytes()),
               "{}: tensor '{}' {}: its parts hold {} of the {} bytes of {}", source_,
               variable.name, whole.str(), covered, own.bytes(), str(wanted));
  bytes += covered;
  return own;
}

}  // namespace ashlar::train
