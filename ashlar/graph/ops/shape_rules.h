// Checks that shape rules share. Each throws Error: "linear: x has shape [tokens, 3], wanted ...".
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/graph/op.h"

#include <string_view>

namespace ashlar::graph {

inline void check_inputs(std::string_view op, std::span<const ValueType> inputs, size_t wanted) {
  ASHLAR_CHECK(inputs.size() == wanted, "{}: {} inputs, wanted {}", op, inputs.size(), wanted);
}

inline void check_rank(std::string_view op, std::string_view what, const ValueType& type,
                       int wanted) {
  ASHLAR_CHECK(type.present && type.shape.rank() == wanted, "{}: {} is {}, wanted {} dims", op,
               what, type.str(), wanted);
}

inline void check_shape(std::string_view op, std::string_view what, const ValueType& type,
                        const SymShape& wanted) {
  ASHLAR_CHECK(type.present && type.shape == wanted, "{}: {} is {}, wanted {}", op, what,
               type.str(), wanted.str());
}

inline void check_type(std::string_view op, std::string_view what, const ValueType& type,
                       const ValueType& wanted) {
  ASHLAR_CHECK(type == wanted, "{}: {} is {}, wanted {}", op, what, type.str(), wanted.str());
}

inline void check_dtype(std::string_view op, std::string_view what, const ValueType& type,
                        DType wanted) {
  ASHLAR_CHECK(type.dtype == wanted, "{}: {} is {}, wanted {}", op, what, type.str(),
               ashlar::name(wanted));
}

}  // namespace ashlar::graph
