// The gated MLP as one kernel against the four it stands for: the same bits.
#include "tests/kernels/quant_case.h"

#include <gtest/gtest.h>

namespace ashlar::kernels {
namespace {

struct MlpCase {
  DType gate, up, down;
  int64_t width, inner, outputs;
  Activation activation = Activation::kSilu;
};

class QuantMlp : public TierTest {
 protected:
  struct Weight {
    QuantWeights blocks;
    std::vector<std::byte> packed;
  };
  Weight weight(DType format, int64_t n, int64_t r) {
    const QuantWeights blocks = random_weights(format, n, r);
    return {blocks, packed(table(), blocks)};
  }

  static GemmArgs product(const Weight& w, int64_t m) {
    GemmArgs args;
    args.m = m;
    args.n = w.blocks.n;
    args.r = w.blocks.r;
    args.set_packed(w.packed.data(), w.blocks.format);
    return args;
  }

  // Runs both for `m` rows with bias and residual and compares.
  void check(const MlpCase& c, int64_t m, TestTeam& team) {
    const Weight gate = weight(c.gate, c.inner, c.width), up = weight(c.up, c.inner, c.width);
    const Weight down = weight(c.down, c.outputs, c.inner);
    const Array x(DType::kF32, random_values("x", m * c.width));
    const Array bias(DType::kF32, random_values("bias", c.outputs));
    const Array residual(DType::kF32, random_values("residual", m * c.outputs));

    const auto with_ends = [&](GemmArgs args, Array& to) {
      args.c = to.data();
      args.c_stride = c.outputs;
      args.bias = bias.floats();
      args.residual = residual.data();
      args.residual_stride = c.outputs;
      return args;
    };
    Array between = run_product(table(), team, gate.blocks, gate.packed, x);
    const Array ups = run_product(table(), team, up.blocks, up.packed, x);
    table().gated({m, c.inner, c.activation, DType::kF32, between.data(), ups.data(), c.inner,
                   c.inner, between.data()},
                  team.with_scratch(0));
    Array wanted(DType::kF32, m * c.outputs), found = wanted;
    GemmArgs last = with_ends(product(down, m), wanted);
    last.a = {between.data(), DType::kF32, c.inner, 1};
    table().gemm(last, team.with_scratch(table().gemm_scratch(last, team.threads())));

    GatedMlpArgs args;
    args.gate = product(gate, m);
    args.up = product(up, m);
    args.gate.a = args.up.a = {x.data(), DType::kF32, c.width, 1};
    args.activation = c.activation;
    args.down = with_ends(product(down, m), found);
    const int64_t scratch = table().gated_mlp_scratch(args, team.threads());
    table().gated_mlp(args, team.with_scratch(scratch));
    EXPECT_EQ(found, wanted) << name(c.gate) << " " << name(c.up) << " " << name(c.down) << ", "
                             << m << " rows of " << c.width << ", " << c.inner << ", " << c.outputs
                             << ", " << team.threads() << " threads";

    // Nor does it matter whether weights are packed yet.
    GemmArgs* products[] = {&args.gate, &args.up, &args.down};
    const Weight* weights[] = {&gate, &up, &down};
    for (size_t i = 0; i < 3; ++i) {
      products[i]->set_blocks(weights[i]->blocks.blocks.data(), weights[i]->blocks.format);
    }
    found = Array(DType::kF32, found.size());
    args.down.c = found.data();
    table().gated_mlp(args, team.with_scratch(scratch));
    EXPECT_EQ(found, wanted) << name(c.gate) << ", not packed, " << m << " rows";

    // What serves many rows serves fewer.
    if (m > 1) {
      args.gate.m = args.up.m = args.down.m = 1;
      EXPECT_LE(table().gated_mlp_scratch(args, team.threads()), scratch);
    }
  }
};
ASHLAR_TEST_EACH_TIER(QuantMlp);

TEST_P(QuantMlp, HasTheBitsOfItsFourOps) {
  for (const DType format : kQuantFormats) {
    size_t turn = 0;
    for (const int64_t m : {1, 5, 12, 13, 40, 130}) {
      check({format, format, format, 512, 768, 100}, m, teams()[turn++ % 3]);
    }
  }
}

TEST_P(QuantMlp, FormatsMayDifferAndRowsEndAnywhere) {
  using enum DType;
  for (const int64_t m : {3, 31}) {
    check({kQ8_0, kQ4_0, kQ8_0, 96, 352, 17}, m, teams()[1]);
    check({kQ4K, kQ4K, kQ6K, 256, 1024, 33}, m, teams()[1]);
    check({kQ6K, kQ8_0, kQ4_0, 256, 32, 256}, m, teams()[2]);
  }
}

TEST_P(QuantMlp, EveryActivation) {
  using enum Activation;
  for (const Activation f : {kGeluTanh, kGeluErf, kSilu, kRelu, kGeluQuick, kReluSquared}) {
    check({DType::kQ8_0, DType::kQ8_0, DType::kQ8_0, 64, 96, 32, f}, 25, teams()[1]);
  }
}

// More rows than one band.
TEST_P(QuantMlp, ManyRows) {
  check({DType::kQ4_0, DType::kQ4_0, DType::kQ8_0, 64, 288, 48}, 600, teams()[2]);
}

TEST_P(QuantMlp, NoRows) {
  check({DType::kQ8_0, DType::kQ8_0, DType::kQ8_0, 32, 32, 16}, 0, teams()[0]);
}

}  // namespace
}  // namespace ashlar::kernels
