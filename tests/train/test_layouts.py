"""`ashlar train` on every kind of layout equals itself on one rank, as threads of one process and under
mpirun. ./dev test runs a part of them under mpirun, ASHLAR_SOAK=1 (./dev soak) all."""
import os
import random

import pytest
import trained

SOAK = os.environ.get("ASHLAR_SOAK") == "1"
# The first eight run under mpirun in every test run: each method is among them.
LAYOUTS = [
    "mesh.data=2",
    "mesh.data=2 mesh.tensor=2 parallel.zero=3",
    "mesh.tensor=2 parallel.sequence=true",
    "mesh.data=2 mesh.context=2 parallel.zero=1 parallel.context=zigzag",
    "mesh.pipe=4 parallel.schedule=zb-h1",
    "mesh.data=2 mesh.tensor=2 mesh.pipe=2 parallel.zero=1",
    "mesh.context=2 parallel.context=ulysses",
    "mesh.tensor=2 mesh.context=2 parallel.sequence=true parallel.context=ring",
    "mesh.data=4",
    "mesh.data=8",
    "mesh.data=8 parallel.zero=2",
    "mesh.data=2 mesh.tensor=2 mesh.context=2 parallel.sequence=true",
    "mesh.data=2 parallel.zero=1",
    "mesh.data=4 parallel.zero=1",
    "mesh.data=4 parallel.zero=2",
    "mesh.data=4 parallel.zero=3",
    "mesh.data=8 parallel.zero=3",
    "mesh.data=2 parallel.zero=3 train.microbatch=2",
    "mesh.tensor=2",
    "mesh.data=4 mesh.tensor=2 parallel.zero=1",
    "mesh.data=4 mesh.tensor=2 parallel.zero=2 parallel.sequence=true",
    "mesh.data=2 mesh.tensor=2 parallel.zero=3 parallel.sequence=true recompute=full",
    "mesh.data=2 mesh.tensor=2 recompute=selective",
    "mesh.context=2 parallel.context=ring",
    "mesh.context=2 parallel.context=zigzag recompute=full",
    "mesh.context=4 parallel.context=zigzag",
    "mesh.context=4 parallel.context=ring",
    "mesh.data=4 mesh.context=2 parallel.zero=3",
    "mesh.data=2 mesh.context=4 parallel.zero=2 parallel.context=ring",
    "mesh.pipe=2 mesh.tensor=2",
    "mesh.pipe=4",
    "mesh.pipe=4 parallel.schedule=zb-h2 parallel.optimistic=true",
    "mesh.pipe=2 parallel.schedule=zb-v",
    "mesh.pipe=2 parallel.schedule=chimera",
    "mesh.pipe=2 mesh.data=2 mesh.tensor=2",
    "mesh.pipe=2 mesh.data=2 mesh.tensor=2 parallel.zero=1 parallel.sequence=true parallel.schedule=interleaved",
    "mesh.pipe=2 mesh.data=2 parallel.zero=3 parallel.schedule=hanayo recompute=full",
    "mesh.pipe=2 mesh.context=2 parallel.context=zigzag parallel.schedule=zb-h1",
]
# GPT-2 has the tied head and the dropout; LLaMA the grouped heads.
CASES = [(layout, ("llama", "gpt2")[i % 2]) for i, layout in enumerate(LAYOUTS)]
MIXTURES = [
    "mesh.expert=2",
    "mesh.expert=4 parallel.zero=1",
    "mesh.data=2 mesh.expert=2 mesh.tensor=2",
    "mesh.data=2 mesh.expert=4",
    "mesh.expert=2 mesh.context=2",
    "mesh.data=2 mesh.expert=2 parallel.zero=3",
    "mesh.data=4 parallel.zero=2",
    "mesh.tensor=2 parallel.sequence=true",
    "mesh.tensor=2 mesh.expert=2 parallel.sequence=true recompute=full",
    "mesh.context=2 parallel.context=ulysses",
]
MIXED = [(layout, "mixtral") for layout in MIXTURES]


@pytest.fixture(scope="session")
def one_rank(tmp_path_factory):
    """The folder of the run on one rank that a layout is held to; each is run once."""
    done = {}

    def run(model):
        if model not in done:
            folder = tmp_path_factory.mktemp("one") / model
            result = trained.train(folder, model, microbatch(model, []))
            assert result.returncode == 0, trained.last_words(result)
            done[model] = folder
        return done[model]
    return run


def microbatch(model, words):
    """What makes a mixture's balance loss comparable: it is taken over the rows that are routed at once, on all
    ranks together, and ranks share out the batch before they cut it. So all of it is routed at once."""
    return [f"train.microbatch={8 // trained.data_ranks(words)}"] if model == "mixtral" else []


@pytest.mark.parametrize("layout,model", CASES + MIXED)
def test_threads_equal_one_rank(layout, model, one_rank, tmp_path):
    words = [*layout.split(), *microbatch(model, layout.split())]
    result = trained.train(tmp_path / "threads", model, [*words, f"--ranks={trained.ranks(words)}"])
    assert result.returncode == 0, trained.last_words(result)
    trained.check_equal(tmp_path / "threads", one_rank(model))


@pytest.mark.parametrize("layout,model", CASES + MIXED if SOAK else CASES[:8] + MIXED[2:3])
def test_mpi_has_the_bits_of_threads(layout, model, tmp_path):
    words = [*layout.split(), *microbatch(model, layout.split())]
    for how in "ranks", "mpi":
        result = trained.train(tmp_path / how, model, [*words, f"--{how}={trained.ranks(words)}"])
        assert result.returncode == 0, trained.last_words(result)
    trained.check_equal(tmp_path / "mpi", tmp_path / "ranks", tolerance=0)


def draw(seed):
    """A layout of at most 8 ranks, sensible or not."""
    dice = random.Random(seed)
    while True:
        axes = ("data", "tensor", "context", "pipe", "expert")
        mesh = {axis: dice.choice([1, 1, 2, 3, 4]) for axis in axes}
        words = [f"mesh.{axis}={size}" for axis, size in mesh.items()]
        if 1 < trained.ranks(words) <= 8:
            break
    words += [f"parallel.zero={dice.randrange(4)}", f"parallel.sequence={dice.choice(['true', 'false'])}",
              f"parallel.context={dice.choice(['ring', 'zigzag', 'ulysses'])}",
              f"parallel.schedule={dice.choice(['1f1b', 'gpipe', 'interleaved', 'zb-h1', 'zb-v', 'chimera'])}",
              f"recompute={dice.choice(['none', 'full', 'selective'])}",
              f"train.microbatch={dice.choice([1, 1, 2])}"]
    return words, dice.choice(["llama", "gpt2", "mixtral"])


@pytest.mark.parametrize("seed", range(100 if SOAK else 16))
def test_a_random_layout_is_equal_or_refused(seed, one_rank, tmp_path):
    words, model = draw(seed)
    words += microbatch(model, words)
    result = trained.train(tmp_path / "drawn", model, [*words, f"--ranks={trained.ranks(words)}"])
    if trained.refusal(result):
        return
    assert result.returncode == 0, (words, trained.last_words(result))
    trained.check_equal(tmp_path / "drawn", one_rank(model))
