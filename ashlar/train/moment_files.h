// The optimizer's state in a checkpoint. One rank's is state/optimizer.safetensors, every moment
// whole. Several ranks' are files of parts, state/optimizer-00001.safetensors ..., and an index
// that says what each part is of. Any layout of ranks reads either, just the slices it needs.
#pragma once

#include "ashlar/formats/manifest.h"
#include "ashlar/formats/safetensors.h"
#include "ashlar/graph/graph.h"
#include "ashlar/mesh/part.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ashlar::train {

struct MomentFile;

inline constexpr const char* kMoments = "state/optimizer.safetensors";
inline constexpr const char* kMomentsIndex = "state/optimizer.safetensors.index.json";

// Of file `i` (from 0) in the checkpoint of `ranks` ranks.
std::string moment_file_name(int ranks, size_t i);

using GetMoment = std::function<Tensor(const std::string& name)>;
// folder: the checkpoint's. One file, whose parts `get` gives.
formats::FileRecord write_moments(const std::string& folder, const MomentFile& file,
                                  const GetMoment& get);
// What says where the parts are; written once, for a job of several ranks.
formats::FileRecord write_moments_index(const std::string& folder,
                                        const std::vector<MomentFile>& files);

class MomentReader {
 public:
  // Throws Error naming what is missing, torn or does not fit the index.
  explicit MomentReader(const std::string& folder);

  // This Variable's part (all of it on one rank). Adds the bytes read. Throws Error naming the
  // tensor, its file, and both shapes.
  Tensor read(const graph::Variable& variable, int64_t& bytes);

 private:
  struct Stored {
    std::string file;
    Part part;
  };
  struct Moment {
    Shape whole;
    std::vector<Stored> parts;
  };

  const formats::SafetensorsReader& open(const std::string& file);

  std::string folder_, source_;  // source: the file or the index that lists them, for messages
  std::map<std::string, Moment> moments_;
  std::map<std::string, std::unique_ptr<formats::SafetensorsReader>> files_;
};

}  // namespace ashlar::train
