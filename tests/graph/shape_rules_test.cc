// What an op says of shapes it cannot take: its name, the shapes found and wanted, the node.
#include "ashlar/base/error.h"
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"

#include <gtest/gtest.h>

#include <functional>

namespace ashlar::graph {
namespace {

constexpr Symbol T = Symbol::kTokens;

// Inputs with names of their own, so that a case fits a few lines.
class Case {
 public:
  ValueId f32(SymShape shape) { return value(DType::kF32, std::move(shape)); }
  ValueId i32(SymShape shape) { return value(DType::kI32, std::move(shape)); }
  ValueId bf16(SymShape shape) { return value(DType::kBF16, std::move(shape)); }
  ValueId value(DType dtype, SymShape shape) {
    return b.input("in" + std::to_string(count_++), dtype, std::move(shape));
  }

  Graph graph;
  Builder b{graph};

 private:
  int count_ = 0;
};

void expect_refused(const std::string& message, const std::function<void(Case&)>& make) {
  Case c;
  try {
    make(c);
    ADD_FAILURE() << "accepted; wanted: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), message);
  }
  EXPECT_TRUE(c.graph.nodes().empty());  // nothing half made stays behind
}

TEST(ShapeRules, Add) {
  expect_refused("add: b is f32[tokens, 9], wanted f32[tokens, 8] (op sum)", [](Case& c) {
    add(c.b, c.f32({T, 8}), c.f32({T, 9}), "sum");
  });
  expect_refused("add: b is bf16[tokens, 8], wanted f32[tokens, 8] (op sum)", [](Case& c) {
    add(c.b, c.f32({T, 8}), c.bf16({T, 8}), "sum");
  });
}

TEST(ShapeRules, Gated) {
  expect_refused("gated: gate is f32[8], wanted 2 dims (op g)", [](Case& c) {
    gated(c.b, c.f32({8}), c.f32({8}), kernels::Activation::kSilu, "g");
  });
  expect_refused("gated: up is f32[tokens, 9], wanted f32[tokens, 8] (op g)", [](Case& c) {
    gated(c.b, c.f32({T, 8}), c.f32({T, 9}), kernels::Activation::kSilu, "g");
  });
}

TEST(ShapeRules, Dropout) {
  expect_refused("dropout: rate 1 is not in [0, 1)", [](Case& c) {
    dropout(c.b, c.f32({T, 8}), 1, "drop");
  });
  expect_refused("dropout: x is f32[tokens], wanted 2 dims (op drop)",
                 [](Case& c) { dropout(c.b, c.f32({T}), 0.5, "drop"); });
}

TEST(ShapeRules, CastIntoAVariable) {
  expect_refused("cast: target is bf16[7], wanted bf16[8] (op round)", [](Case& c) {
    c.b.apply(std::make_shared<CastOp>(DType::kBF16, true), {c.f32({8}), c.bf16({7})}, "round");
  });
}

TEST(ShapeRules, Linear) {
  expect_refused("linear: x is f32[tokens], wanted 2 dims (op q)", [](Case& c) {
    linear(c.b, c.f32({T}), c.f32({4, 8}), {}, "q");
  });
  expect_refused("linear: inner dims differ: x is f32[tokens, 9], weight is f32[4, 8] (op q)",
                 [](Case& c) {
                   linear(c.b, c.f32({T, 9}), c.f32({4, 8}), {}, "q");
                 });
  expect_refused("linear: bias is f32[5], wanted f32[4] (op q)", [](Case& c) {
    linear(c.b, c.f32({T, 8}), c.f32({4, 8}), {.bias = c.f32({5})}, "q");
  });
  expect_refused("linear: residual is f32[tokens, 5], wanted f32[tokens, 4] (op q)", [](Case& c) {
    linear(c.b, c.f32({T, 8}), c.f32({4, 8}), {.residual = c.f32({T, 5})}, "q");
  });
  expect_refused("linear: a low-rank term needs both of its factors (op q)", [](Case& c) {
    linear(c.b, c.f32({T, 8}), c.f32({4, 8}), {.low_rank_down = c.f32({T, 2})}, "q");
  });
  expect_refused("linear: low-rank up is f32[4, 3], wanted [4, 2] (op q)", [](Case& c) {
    const LinearOptions options{.low_rank_down = c.f32({T, 2}), .low_rank_up = c.f32({4, 3})};
    linear(c.b, c.f32({T, 8}), c.f32({4, 8}), options, "q");
  });
}

TEST(ShapeRules, LinearBackward) {
  expect_refused(
      "linear_input_grad: dims differ: d_y is f32[tokens, 5], weight is f32[4, 8] (op g)",
      [](Case& c) {
        c.b.apply(std::make_shared<LinearInputGradOp>(), {c.f32({T, 5}), c.f32({4, 8}), {}}, "g");
      });
  expect_refused("linear_weight_grad: rows differ: d_y is f32[3, 4], x is f32[tokens, 8] (op g)",
                 [](Case& c) {
                   c.b.apply(std::make_shared<LinearWeightGradOp>(true),
                             {c.f32({3, 4}), c.f32({T, 8}), c.f32({4, 8})}, "g");
                 });
  expect_refused("linear_weight_grad: grad is f32[8, 4], wanted [4, 8] (op g)", [](Case& c) {
    c.b.apply(std::make_shared<LinearWeightGradOp>(true),
              {c.f32({T, 4}), c.f32({T, 8}), c.f32({8, 4})}, "g");
  });
  expect_refused("bias_grad: grad is f32[5], wanted f32[4] (op g)", [](Case& c) {
    c.b.apply(std::make_shared<BiasGradOp>(true), {c.f32({T, 4}), c.f32({5})}, "g");
  });
}

TEST(ShapeRules, Norms) {
  expect_refused("rms_norm: weight is f32[7], wanted f32[8] (op n)", [](Case& c) {
    rms_norm(c.b, c.f32({T, 8}), c.f32({7}), 1e-5, "n");
  });
  expect_refused("layer_norm: bias is f32[7], wanted f32[8] (op n)", [](Case& c) {
    layer_norm(c.b, c.f32({T, 8}), c.f32({8}), c.f32({7}), 1e-5, "n");
  });
}

TEST(ShapeRules, Rope) {
  const RopeSpec spec{.heads = 2, .head_dim = 8, .rotary_dim = 8};
  expect_refused("rope: x is f32[tokens, 15], wanted width 2 heads x 8 (op r)", [&](Case& c) {
    rope(c.b, c.f32({T, 15}), c.i32({T}), c.f32({64, 8}), spec, "r");
  });
  expect_refused("rope: positions is i32[seqs], wanted i32[tokens] (op r)", [&](Case& c) {
    rope(c.b, c.f32({T, 16}), c.i32({Symbol::kSeqs}), c.f32({64, 8}), spec, "r");
  });
  expect_refused("rope: table is f32[64, 6], wanted width 8 (op r)", [&](Case& c) {
    rope(c.b, c.f32({T, 16}), c.i32({T}), c.f32({64, 6}), spec, "r");
  });
}

TEST(ShapeRules, Rows) {
  expect_refused("gather_rows: ids is f32[tokens], wanted i32 (op e)", [](Case& c) {
    gather_rows(c.b, c.f32({9, 8}), c.f32({T}), {}, DType::kF32, "e");
  });
  expect_refused("gather_rows: addend is f32[tokens, 7], wanted f32[tokens, 8] (op e)",
                 [](Case& c) {
                   gather_rows(c.b, c.f32({9, 8}), c.i32({T}), c.f32({T, 7}), DType::kF32, "e");
                 });
  expect_refused("scatter_add_rows: widths differ: d_y is f32[tokens, 8], grad is f32[9, 7] (op e)",
                 [](Case& c) {
                   c.b.apply(std::make_shared<ScatterAddRowsOp>(true),
                             {c.i32({T}), c.f32({T, 8}), c.f32({9, 7})}, "e");
                 });
}

TEST(ShapeRules, Attention) {
  const AttentionSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 8, .mask = {}};
  const auto rows = Dim(Symbol::kSeqs, 1, 1);
  expect_refused("attention: 3 query heads are not a multiple of 2 key-value heads (op a)",
                 [&](Case& c) {
                   attention(c.b, c.f32({T, 24}), c.f32({T, 16}), c.f32({T, 16}), c.i32({rows}),
                             {.heads = 3, .kv_heads = 2, .head_dim = 8, .mask = {}}, "a");
                 });
  expect_refused("attention: q is f32[tokens, 31], wanted 4 heads x 8 (op a)", [&](Case& c) {
    attention(c.b, c.f32({T, 31}), c.f32({T, 16}), c.f32({T, 16}), c.i32({rows}), spec, "a");
  });
  expect_refused("attention: v is f32[tokens, 32], wanted f32[tokens, 16] (op a)", [&](Case& c) {
    attention(c.b, c.f32({T, 32}), c.f32({T, 16}), c.f32({T, 32}), c.i32({rows}), spec, "a");
  });
  for (const double rate : {-0.1, 1.0}) {
    expect_refused(fmt::format("attention: dropout {} is not in [0, 1) (op a)", rate), [&](Case&
                                                                                               c) {
      AttentionSpec dropped = spec;
      dropped.dropout = rate;
      attention(c.b, c.f32({T, 32}), c.f32({T, 16}), c.f32({T, 16}), c.i32({rows}), dropped, "a");
    });
  }
}

TEST(ShapeRules, PagedAttention) {
  const AttentionSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 8, .mask = {}};
  const auto attend = [&](Case& c, ValueId k_pool, ValueId v_pool) {
    c.b.apply(std::make_shared<PagedAttentionOp>(spec),
              {c.f32({T, 32}), k_pool, v_pool, c.i32({Dim(Symbol::kSeqs, 1, 1)}),
               c.i32({Symbol::kSeqs}), c.i32({Symbol::kSeqs, 4})},
              "a");
  };
  expect_refused("paged_attention: k_pool is f32[9, 2, 16, 8], wanted [9, 2, 8, 16] (op a)",
                 [&](Case& c) {
                   attend(c, c.f32({9, 2, 16, 8}), c.f32({9, 2, 16, 8}));
                 });
  expect_refused("paged_attention: v_pool is f32[9, 2, 8, 16], wanted f32[9, 2, 16, 8] (op a)",
                 [&](Case& c) {
                   attend(c, c.f32({9, 2, 8, 16}), c.f32({9, 2, 8, 16}));
                 });
  expect_refused("paged_attention: dropout 0.1 is for training only (op a)", [&](Case& c) {
    AttentionSpec dropped = spec;
    dropped.dropout = 0.1;
    c.b.apply(
        std::make_shared<PagedAttentionOp>(dropped),
        {c.f32({T, 32}), c.f32({9, 2, 8, 16}), c.f32({9, 2, 16, 8}),
         c.i32({Dim(Symbol::kSeqs, 1, 1)}), c.i32({Symbol::kSeqs}), c.i32({Symbol::kSeqs, 4})},
        "a");
  });
  expect_refused("kv_write: k is f32[tokens, 15], wanted width 2 heads x 8 (op w)", [](Case& c) {
    c.b.apply(
        std::make_shared<KvWriteOp>(),
        {c.f32({T, 15}), c.f32({T, 15}), c.i32({T}), c.f32({9, 2, 8, 16}), c.f32({9, 2, 16, 8})},
        "w");
  });
}

TEST(ShapeRules, CrossEntropy) {
  expect_refused(
      "linear_cross_entropy: inner dims differ: x is f32[tokens, 7], weight is f32[9, 8] (op l)",
      [](Case& c) {
        linear_cross_entropy(c.b, c.f32({T, 7}), c.f32({9, 8}), c.i32({T}), c.f32({1}), "l");
      });
  expect_refused("linear_cross_entropy: targets is i32[5], wanted i32[tokens] (op l)", [](Case& c) {
    linear_cross_entropy(c.b, c.f32({T, 8}), c.f32({9, 8}), c.i32({5}), c.f32({1}), "l");
  });
  expect_refused("linear_cross_entropy: scale is f32[2], wanted f32[1] (op l)", [](Case& c) {
    linear_cross_entropy(c.b, c.f32({T, 8}), c.f32({9, 8}), c.i32({T}), c.f32({2}), "l");
  });
}

TEST(ShapeRules, Optimizer) {
  const auto update = [](Case& c, ValueId param, ValueId grad, ValueId lr) {
    c.b.apply(std::make_shared<AdamWOp>(AdamWSpec{}, false),
              {param, grad, c.f32({8}), c.f32({8}), lr, c.f32({1}), ValueId{}}, "u");
  };
  expect_refused("adamw: param is i32[8], wanted f32, or bf16 without a shadow (op u)",
                 [&](Case& c) { update(c, c.i32({8}), c.f32({8}), c.f32({1})); });
  expect_refused("adamw: grad is f32[7], wanted f32[8] or bf16 (op u)",
                 [&](Case& c) { update(c, c.f32({8}), c.f32({7}), c.f32({1})); });
  expect_refused("adamw: lr is f32[8], wanted f32[1] (op u)",
                 [&](Case& c) { update(c, c.f32({8}), c.f32({8}), c.f32({8})); });
  expect_refused("sum_squares: gradient is i32[8], wanted f32 or bf16 (op s)", [](Case& c) {
    c.b.apply(std::make_shared<SumSquaresOp>(), {c.f32({8}), c.i32({8})}, "s");
  });
  expect_refused("clip_scale: sum of squares is f32[1], wanted f64[1] (op s)", [](Case& c) {
    c.b.apply(std::make_shared<ClipScaleOp>(1.0), {c.f32({1}), ValueId{}}, "s");
  });
}

TEST(ShapeRules, NumberOfInputs) {
  expect_refused("add: 3 inputs, wanted 2 (op sum)", [](Case& c) {
    c.b.apply(std::make_shared<AddOp>(), {c.f32({1}), c.f32({1}), c.f32({1})}, "sum");
  });
}

TEST(ShapeRules, MixtureOfExperts) {
  expect_refused("moe_route: 3 choices of 2 experts, wanted 1 to 2 (op r)", [](Case& c) {
    moe_route(c.b, c.f32({T, 2}), {3, true}, "r");
  });
  expect_refused("moe_route: logits is bf16[tokens, 8], wanted f32 (op r)", [](Case& c) {
    moe_route(c.b, c.bf16({T, 8}), {2, true}, "r");
  });
  expect_refused("moe_route: 8 experts are not a multiple of 3 groups (op r)", [](Case& c) {
    moe_route(c.b, c.f32({T, 8}), {.top_k = 2, .groups = 3}, "r");
  });
  expect_refused("moe_route: 3 choices of 1 groups of 2 experts, wanted at most 2 (op r)",
                 [](Case& c) {
                   moe_route(c.b, c.f32({T, 8}), {.top_k = 3, .groups = 4}, "r");
                 });
  expect_refused("moe_route: a bias is for sigmoids, not for a softmax (op r)", [](Case& c) {
    moe_route(c.b, c.f32({T, 8}), c.f32({8}), {2, true}, "r");
  });
  expect_refused("moe_load: load so far is f32[2, 8], wanted f64[2, 8] (op l)", [](Case& c) {
    moe_load(c.b, c.f32({T, 8}), c.i32({T, 2}), c.f32({2, 8}), "l");
  });
  expect_refused("moe_assign: weights is f32[tokens, 3], wanted f32[tokens, 2] (op a)",
                 [](Case& c) {
                   moe_assign(c.b, c.i32({T, 2}), c.f32({T, 3}), {8}, "a");
                 });
  expect_refused("moe_dispatch: slots is i32[9, 2], wanted [tokens, 2] (op d)", [](Case& c) {
    moe_dispatch(c.b, c.f32({T, 8}), c.i32({9, 2}), c.i32({Dim(T, 2)}), "d");
  });
  expect_refused("moe_combine: sources is i32[tokens], wanted [2*tokens] (op y)", [](Case& c) {
    moe_combine(c.b, c.f32({Dim(T, 2), 8}), c.f32({T, 2}), c.i32({T, 2}), c.i32({T}), {}, "y");
  });
}

TEST(ShapeRules, GroupedLinear) {
  expect_refused(
      "grouped_linear: inner dims differ: x is f32[routed, 8], weight is f32[4, 5, 9] (op g)",
      [](Case& c) {
        grouped_linear(c.b, c.f32({Symbol::kRouted, 8}), c.f32({4, 5, 9}), c.i32({5}), "g");
      });
  expect_refused("grouped_linear: offsets is i32[4], wanted i32[5] (op g)", [](Case& c) {
    grouped_linear(c.b, c.f32({T, 8}), c.f32({4, 5, 8}), c.i32({4}), "g");
  });
}

}  // namespace
}  // namespace ashlar::graph
