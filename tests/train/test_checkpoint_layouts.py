"""Universal checkpointing (Lian et al. 2024): what one layout saved, every other layout goes on from, and the
next ten losses are those of a run on one rank that was never interrupted."""
import shutil

import pytest
import trained

LAYOUTS = {
    "single": "",
    "data8": "mesh.data=8",
    "zero3": "mesh.data=8 parallel.zero=3",
    "tensor4": "mesh.tensor=4",
    "pipe4": "mesh.pipe=4",
    "2x2x2": "mesh.data=2 mesh.tensor=2 mesh.pipe=2",
}
MIXED = {
    "single": "",
    "expert4": "mesh.expert=4",
    "data8": "mesh.data=8",
    "zero3": "mesh.data=8 parallel.zero=3",
    "pipe4": "mesh.pipe=4",
    "2x2x2": "mesh.data=2 mesh.expert=2 mesh.tensor=2",
}
# GPT-2 has the tied head, and dropout to draw on; the mixture has experts to split.
PAIRS = [("gpt2", a, b) for a in LAYOUTS for b in LAYOUTS] + [
    ("mixtral", a, b) for a in MIXED for b in MIXED if "expert4" in (a, b)]


def words(model, layout):
    of = (MIXED if model == "mixtral" else LAYOUTS)[layout].split()
    count = trained.ranks(of)
    return [*of, *trained.microbatch(model, of), "train.schedule=constant", *([f"--ranks={count}"] if count > 1 else [])]


def run(folder, model, layout, *more):
    result = trained.train(folder, model, [*words(model, layout), *more])
    assert result.returncode == 0, trained.last_words(result)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The folder of a run that is done, on a layout up to a step; each is run once."""
    done = {}

    def of(model, layout, steps):
        key = model, layout, steps
        if key not in done:
            done[key] = tmp_path_factory.mktemp("saved") / f"{model}-{layout}"
            run(done[key], model, layout, f"train.steps={steps}")
        return done[key]
    return of


@pytest.mark.parametrize("model,first,second", PAIRS)
def test_goes_on_in_any_layout(model, first, second, saved, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(saved(model, first, 10), folder)
    run(folder, model, second, "train.steps=20", "--resume")
    found, wanted = trained.metrics(folder), trained.metrics(saved(model, "single", 20))
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    for row, want in zip(found[10:], wanted[10:]):
        for key in "loss", "aux_loss", "grad_norm":
            assert row[key] == pytest.approx(want[key], rel=1e-5, abs=0), (key, row["step"])
