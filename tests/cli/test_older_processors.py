"""The program on processors older than this machine's, as QEMU emulates them: built for baseline x86-64, it must
choose among its kernels without an instruction that the processor lacks."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

MODEL = str(pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models" / "llama")
EMULATOR = shutil.which("qemu-x86_64")

pytestmark = pytest.mark.skipif(not EMULATOR, reason="qemu-x86_64 is not installed")


def ashlar(*arguments, processor=None):
    emulator = [EMULATOR, "-cpu", processor] if processor else []
    return subprocess.run([*emulator, os.environ["ASHLAR_BINARY"], *arguments], capture_output=True, text=True,
                          timeout=300)


@pytest.mark.parametrize("processor, tier", [("qemu64", "scalar"), ("Haswell", "avx2")])
def test_answers_as_on_this_machine(processor, tier):
    machine = ashlar("doctor", "--json", processor=processor)
    assert machine.returncode == 0, machine.stderr
    assert json.loads(machine.stdout)["isa"] == tier
    for dtype in "f32", "q8_0":
        command = ["run", MODEL, "--ids", "1,2,3", "--max-new", "8", "--greedy", "--dtype", dtype, "--threads", "1", "--json"]
        here, there = ashlar(*command), ashlar(*command, processor=processor)
        assert here.returncode == 0, here.stderr
        assert there.returncode == 0, there.stderr
        assert json.loads(there.stdout)["ids"] == json.loads(here.stdout)["ids"]


def test_refuses_kernels_that_the_processor_lacks():
    refused = ashlar("verify", MODEL, "--isa", "avx512", processor="Haswell")
    assert refused.returncode == 2, refused.stdout
    assert "--isa avx512: this processor cannot run it; it can run scalar, avx2" in refused.stderr
