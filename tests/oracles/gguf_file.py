"""Writes tests/fixtures/gguf/every_kind.gguf with the PyPI package gguf: metadata of every kind and
tensors of several types.

    python tests/oracles/gguf_file.py tests/fixtures/gguf/every_kind.gguf
"""
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter


def main():
    writer = GGUFWriter(sys.argv[1], "llama")
    writer.add_uint8("k.u8", 200)
    writer.add_int8("k.i8", -100)
    writer.add_uint16("k.u16", 60000)
    writer.add_int16("k.i16", -30000)
    writer.add_uint32("k.u32", 4000000000)
    writer.add_int32("k.i32", -2000000000)
    writer.add_uint64("k.u64", 2**63 + 5)
    writer.add_int64("k.i64", -(2**62))
    writer.add_float32("k.f32", 0.1)
    writer.add_float64("k.f64", 0.1)
    writer.add_bool("k.bool", True)
    writer.add_string("k.string", "naïve ▁")
    writer.add_array("k.strings", ["a", "", "▁b"])
    writer.add_array("k.ints", [1, -2, 3])
    writer.add_array("k.floats", [0.5, -1.5])
    writer.add_array("k.bools", [True, False])
    writer.add_tensor("f32", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("f16", np.arange(5, dtype=np.float16))
    blocks = np.arange(2 * 2 * 34, dtype=np.uint8).reshape(2, 68)
    writer.add_tensor("q8_0", blocks, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.add_tensor("stack", np.arange(24, dtype=np.int32).reshape(2, 3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
