"""Writes tests/fixtures/quantize_errors.json: weights of several kinds, and the root mean square
error of what llama.cpp makes of them in each type. Wants tests/oracles/llamacpp-requirements.txt.

    python tests/oracles/llamacpp_quantize.py > tests/fixtures/quantize_errors.json
"""
import ctypes
import json
import pathlib

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType, quants

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def ggml():
    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    library = ctypes.CDLL(str(folder / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                            ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                            ctypes.c_void_p]
    return library


def error(library, x, name):
    kind = GGMLQuantizationType[name]
    blocks = np.zeros(quants.quant_shape_to_byte_shape(x.shape, kind), np.uint8)
    library.ggml_quantize_chunk(int(kind), x.ctypes.data, blocks.ctypes.data, 0, *x.shape, None)
    return float(np.sqrt(((quants.dequantize(blocks, kind) - x).astype(np.float64) ** 2).mean()))


def main():
    rng = np.random.default_rng(7)
    shape = (6, 256)
    outliers = rng.standard_normal(shape) * 0.02
    outliers[rng.uniform(size=shape) < 0.01] *= 15
    kinds = {
        "normal": rng.standard_normal(shape) * 0.02,
        "heavy_tailed": rng.standard_t(4, shape) * 0.02,
        "uniform": rng.uniform(-1, 1, shape),
        "off_centre": rng.standard_normal(shape) * 0.3 + 1,
        "outliers": outliers,
    }
    library = ggml()
    result = {}
    for name, values in kinds.items():
        # bf16 values: half the digits to commit.
        x = (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        result[name] = {"bf16": (x.view(np.uint32) >> 16).astype(np.uint16).tobytes().hex(),
                        "errors": {kind.lower(): error(library, x, kind) for kind in TYPES}}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
