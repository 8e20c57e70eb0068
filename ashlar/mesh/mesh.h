// The ranks of a job as a grid with named axes. Axes are listed slowest first: along the last one,
// neighbours in the grid are neighbours in rank. A rank's coordinates are the digits of its number
// in that mixed radix.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

struct MeshAxis {
  std::string name;
  int size = 1;
  bool operator==(const MeshAxis&) const = default;
};

// What a user sets: mesh.data=2 mesh.tensor=4.
struct MeshSizes {
  int data = 1, tensor = 1, pipe = 1, expert = 1, context = 1;
};

class Mesh {
 public:
  Mesh() = default;  // one rank, no axes
  explicit Mesh(std::vector<MeshAxis> axes);

  // pipe, data, context, expert, tensor: the more an axis talks, the nearer its ranks. Tensor ranks
  // exchange activations several times a layer, expert ranks twice an MoE layer, context ranks once
  // an attention, data ranks once a step; a pipe rank only hands one activation to its neighbour.
  static Mesh standard(const MeshSizes& sizes);

  std::span<const MeshAxis> axes() const { return axes_; }
  int size() const { return size_; }             // ranks
  int axis(std::string_view name) const;         // its index; an unknown name is an Error
  int size(std::string_view name) const;         // ranks along that axis
  std::vector<int> coordinates(int rank) const;  // one per axis, in the order of axes()
  int coordinate(int rank, std::string_view name) const;
  int rank_at(std::span<const int> coordinates) const;

  // The ranks that differ from `rank` along the named axes only, itself included, ascending.
  std::vector<int> group(int rank, std::span<const std::string> names) const;

  // Throws unless the job has as many ranks as the mesh, naming what would fit.
  void check_job(int ranks) const;

  std::string str() const;  // "pipe=2 data=2"; axes of one rank are left out; "one rank"
  bool operator==(const Mesh&) const = default;

 private:
  void check_rank(int rank) const;

  std::vector<MeshAxis> axes_;
  int size_ = 1;
};

}  // namespace ashlar
