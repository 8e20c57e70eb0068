"""Holds Ashlar and the peers to the instructions of one tier, so that a machine that has more can stand for one that
has not. Each reads its own variable when it starts; set them before torch is imported."""
import os

HELD = {
    "avx2": {"ASHLAR_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    "avx512": {"ASHLAR_ISA": "avx512", "ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
               "MKL_ENABLE_INSTRUCTIONS": "AVX512", "OPENBLAS_CORETYPE": "SkylakeX"},
}
FLAGS = {"avx2": {"avx", "avx2", "fma", "f16c", "bmi2"}}  # of /proc/cpuinfo, for peers that are built for a processor
FLAGS["avx512"] = FLAGS["avx2"] | {"avx512bw"}


def hold(isa):
    """From here on; nothing with an empty tier."""
    os.environ.update(HELD.get(isa, {}))


def flag(isa):
    """What a table says behind its command."""
    return f" --isa {isa}" if isa else ""


def suffix(isa):
    """Of a file of results, behind the tier's name."""
    return "-held" if isa else ""
