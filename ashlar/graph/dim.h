// Extents that may be known only when a Program runs. A Dim is a number, or a symbol bound at run
// time (times a factor, plus an offset: row_start has seqs + 1 entries). Memory is planned for the
// largest bindings.
#pragma once

#include "ashlar/tensor/shape.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::graph {

enum class Symbol : uint8_t {
  kNone,     // a plain number
  kTokens,   // rows of the flattened batch; of this rank, where data ranks or context ranks share
  kSeqs,     // sequences in the batch
  kOutputs,  // rows that need logits
  kRouted,   // rows after MoE dispatch
  kPart,     // this rank's rows of kTokens where tensor ranks share them (sequence parallel)
  kWhole,    // rows of the microbatch where context ranks came together (Ulysses)
};
inline constexpr int kSymbols = 7;
std::string_view name(Symbol symbol);

// What the symbols stand for in one run, or at most (when planning).
struct Bindings {
  std::array<int64_t, kSymbols> values{};
  int64_t& operator[](Symbol symbol) { return values[static_cast<size_t>(symbol)]; }
  int64_t operator[](Symbol symbol) const { return values[static_cast<size_t>(symbol)]; }
  bool operator==(const Bindings&) const = default;
};

struct Dim {
  Symbol symbol = Symbol::kNone;
  int64_t factor = 0;
  int64_t offset = 0;

  Dim() = default;
  Dim(int64_t size) : offset(size) {}  // NOLINT: a number is a Dim
  Dim(Symbol s, int64_t f = 1, int64_t o = 0) : symbol(s), factor(f), offset(o) {}  // NOLINT

  bool fixed() const { return symbol == Symbol::kNone; }
  int64_t bind(const Bindings& bindings) const {
    return fixed() ? offset : factor * bindings[symbol] + offset;
  }
  bool operator==(const Dim&) const = default;
  std::string str() const;  // "768", "tokens", "seqs+1"
};

class SymShape {
 public:
  SymShape() = default;
  SymShape(std::initializer_list<Dim> dims) : dims_(dims) {}
  explicit SymShape(std::vector<Dim> dims) : dims_(std::move(dims)) {}
  explicit SymShape(const Shape& shape);

  int rank() const { return static_cast<int>(dims_.size()); }
  const Dim& operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  Dim& operator[](int i) { return dims_[static_cast<size_t>(i)]; }
  const std::vector<Dim>& dims() const { return dims_; }
  bool fixed() const;
  // The shape with every symbol bound; allocation-free.
  Shape bind(const Bindings& bindings) const;
  bool operator==(const SymShape&) const = default;
  std::string str() const;  // "[tokens, 768]"

 private:
  std::vector<Dim> dims_;
};

}  // namespace ashlar::graph
