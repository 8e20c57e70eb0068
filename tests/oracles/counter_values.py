"""The arrays of tests/graph/counter_values.h: the same bits, in numpy."""
import numpy as np

MASK = (1 << 64) - 1


def counter_bits(name, n):
    """64 random bits for each of n elements: splitmix64 over a hash (FNV-1a) of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def counter_values(name, shape, scale=1.0, offset=0.0):
    """u * scale + offset in f32, u uniform in [-1, 1) in steps of 2^-23."""
    steps = (counter_bits(name, int(np.prod(shape))) >> np.uint64(40)).astype(np.int64) - (1 << 23)
    unit = steps.astype(np.float32) * np.float32(2.0**-23)
    return (unit * np.float32(scale) + np.float32(offset)).reshape(shape)


def counter_ids(name, n, below):
    """n numbers in [0, below)."""
    return ((counter_bits(name, n) >> np.uint64(33)) % np.uint64(below)).astype(np.int64)
