"""Writes tests/fixtures/blocks.json: random blocks of each type that GGUF knows with their weights,
and weights with their blocks, by the PyPI package gguf. Arrays are hex of their bytes.

    python tests/oracles/block_goldens.py > tests/fixtures/blocks.json
"""
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

# Where the halves d, m and dmin lie in a block.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def random_blocks(kind, rng):
    elements, size = GGML_QUANT_SIZES[kind]
    count = 8 if elements == 32 else 3
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[kind.name]:  # finite: the exponent's top bit may not be set with all others
        blocks[:, at + 1] &= 0xBF
    return blocks


def weights(rng):
    x = rng.standard_normal((12, 32)).astype(np.float32)
    x[1] = 0
    x[2] = 0.75
    x[3] = -np.abs(x[3])
    x[4] *= 1e-7  # the scale is a subnormal half
    x[5] *= 1000
    x[6] = np.round(x[6] * 4) / 8  # ties
    x[7] = np.arange(32) - 16
    x[8, 1:] = 0
    x[9] = np.where(np.arange(32) % 2, 1, -1)  # two of the largest magnitude
    return x


def main():
    rng = np.random.default_rng(5)
    dequantized, quantized = {}, {}
    for name in HALVES:
        kind = GGMLQuantizationType[name]
        blocks = random_blocks(kind, rng)
        values = quants.dequantize(blocks, kind)
        dequantized[name.lower()] = {"blocks": blocks.tobytes().hex(),
                                     "weights": values.astype(np.float32).tobytes().hex()}
    x = weights(rng)
    for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        quantized[name.lower()] = quants.quantize(x, GGMLQuantizationType[name]).tobytes().hex()
    print(json.dumps({"dequantized": dequantized, "weights": x.tobytes().hex(),
                      "quantized": quantized}, indent=1))


if __name__ == "__main__":
    main()
