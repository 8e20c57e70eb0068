"""`ashlar train` on every kind of layout equals itself on one rank, as threads of one process and under
mpirun; and holds and sends what the formulas of its methods say. ./dev test runs a part of them under mpirun,
ASHLAR_SOAK=1 (./dev soak) all."""
import os
import random

import layout_formulas
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
            result = trained.train(folder, model, trained.microbatch(model, []))
            assert result.returncode == 0, trained.last_words(result)
            done[model] = folder
        return done[model]
    return run


@pytest.fixture(scope="session")
def on_threads(tmp_path_factory):
    """The folder of a layout's run on threads and the words that asked for it; each is run once."""
    done = {}

    def run(layout, model):
        words = [*layout.split(), *trained.microbatch(model, layout.split())]
        if (layout, model) not in done:
            folder = tmp_path_factory.mktemp("threads") / model
            result = trained.train(folder, model, [*words, f"--ranks={trained.ranks(words)}"])
            assert result.returncode == 0, trained.last_words(result)
            done[layout, model] = folder
        return done[layout, model], words
    return run


@pytest.mark.parametrize("layout,model", CASES + MIXED)
def test_threads_equal_one_rank(layout, model, one_rank, on_threads):
    folder, words = on_threads(layout, model)
    trained.check_equal(folder, one_rank(model))
    check_formulas(folder, words, model, one_rank(model))


def check_formulas(folder, words, model, one_rank):
    parameters = [layout_formulas.Parameter(name, 4 * len(values)) for name, values in trained.weights(one_rank).items()]
    layout = layout_formulas.Layout(words, model, parameters)
    memory = trained.record(folder)["memory"]
    assert memory["parameters"] == layout.held_by_first_rank(shared_from=3)
    assert memory["gradients"] == layout.held_by_first_rank(shared_from=2)
    assert memory["optimizers"] == 2 * layout.held_by_first_rank(shared_from=1)
    sent = trained.metrics(folder)[1]["comm_bytes"]
    wanted = layout.sent()
    if layout.expert > 1:  # rows of tokens go to their experts and back, forward and backward: at most all of them
        rows = sent["expert"] - wanted.pop("expert", 0)
        assert 0 < rows <= 1.01 * layout.rows_to_experts()
    for axis, count in wanted.items():
        assert sent[axis] == pytest.approx(count, rel=0.01, abs=1000), (axis, wanted)  # beside norms and losses


@pytest.mark.parametrize("layout,model", CASES + MIXED if SOAK else CASES[:8] + MIXED[2:3])
def test_mpi_has_the_bits_of_threads(layout, model, on_threads, tmp_path):
    folder, words = on_threads(layout, model)
    result = trained.train(tmp_path / "mpi", model, [*words, f"--mpi={trained.ranks(words)}"])
    assert result.returncode == 0, trained.last_words(result)
    trained.check_equal(tmp_path / "mpi", folder, tolerance=0)
    sent = [[row["comm_bytes"] for row in trained.metrics(of)] for of in (tmp_path / "mpi", folder)]
    assert sent[0] == sent[1]


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
    words += trained.microbatch(model, words)
    result = trained.train(tmp_path / "drawn", model, [*words, f"--ranks={trained.ranks(words)}"])
    if trained.refusal(result):
        return
    assert result.returncode == 0, (words, trained.last_words(result))
    trained.check_equal(tmp_path / "drawn", one_rank(model))
