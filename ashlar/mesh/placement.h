// How a value lies on a mesh, axis by axis: replicated, split along a dim, or partial (each rank
// holds a term of a sum still owed). Split ends may be uneven: see slice.h. Where several axes
// split one dim, the slower axis cuts first and the faster one cuts its piece, so that gathering
// along the faster axis gives exactly that piece.
#pragma once

#include "ashlar/mesh/mesh.h"
#include "ashlar/mesh/slice.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

// A shard is a split that cuts last, of what the other axes leave: how ZeRO deals out rows of what
// tensor ranks have split before.
struct AxisPlacement {
  enum class Kind : uint8_t { kReplicated, kSplit, kPartial, kShard };
  Kind kind = Kind::kReplicated;
  int dim = 0;  // of a split

  static AxisPlacement replicated() { return {}; }
  static AxisPlacement split(int dim) { return {Kind::kSplit, dim}; }
  static AxisPlacement partial() { return {Kind::kPartial, 0}; }
  static AxisPlacement shard(int dim) { return {Kind::kShard, dim}; }
  bool is_split() const { return kind == Kind::kSplit || kind == Kind::kShard; }
  bool is_shard() const { return kind == Kind::kShard; }
  bool is_partial() const { return kind == Kind::kPartial; }
  bool operator==(const AxisPlacement&) const = default;

  std::string str() const;  // "R", "S(0)", "P", "Z(0)" a shard
  static AxisPlacement parse(std::string_view text);
};

struct Placement {
  std::vector<AxisPlacement> axes;  // one per mesh axis, in its order

  static Placement replicated(const Mesh& mesh);
  // "data=S(0) tensor=P", axes not named being replicated; "R": replicated everywhere.
  static Placement parse(const Mesh& mesh, std::string_view text);
  std::string str(const Mesh& mesh) const;

  // A copy with one axis changed: Placement::replicated(mesh).with(mesh, "data", ...split(0)).
  Placement with(const Mesh& mesh, std::string_view axis, AxisPlacement placement) const;
  const AxisPlacement& on(const Mesh& mesh, std::string_view axis) const;
  bool is_partial() const;  // along any axis
  bool operator==(const Placement&) const = default;

  // Throws unless this fits the mesh and a value of `shape`; `what` names the value.
  void validate(const Mesh& mesh, std::span<const int64_t> shape, std::string_view what) const;
  // For splits that cannot be uneven: `units` things (heads, experts) lie along `dim`. Throws
  // unless they divide evenly over the axes that split it, naming the sizes that would do.
  void validate_even(const Mesh& mesh, int dim, int64_t units, std::string_view what) const;
};

// The slice of each dim that a rank holds.
std::vector<Slice> local_part(const Placement& placement, const Mesh& mesh, int rank,
                              std::span<const int64_t> shape);
// Its lengths only.
std::vector<int64_t> local_shape(const Placement& placement, const Mesh& mesh, int rank,
                                 std::span<const int64_t> shape);

}  // namespace ashlar
