"""A rank that dies or hangs in `ashlar train` under mpirun: the job ends soon and says who, where and at what."""
import os
import random
import re
import subprocess
import time

import pytest
import trained

LAYOUT = ["mesh.data=2", "mesh.tensor=2", "--mpi=4", "train.steps=1000000", "checkpoint.every=0"]


def start(folder, *words):
    """A job without an end, in its third step or later; and the process of its last rank."""
    folder.mkdir()
    log = (folder / "log").open("w")
    job = subprocess.Popen(trained.arguments(folder, "llama", [*LAYOUT, *words]), stdout=subprocess.DEVNULL, stderr=log)
    for _ in range(600):
        if (folder / "run" / "metrics.jsonl").exists() and len(trained.metrics(folder)) > 2:
            break
        assert job.poll() is None, (folder / "log").read_text()
        time.sleep(0.1)
    return job, processes(folder)[3]


def processes(folder):
    """The job's processes by rank."""
    found = subprocess.run(["pgrep", "-f", f"run.dir={folder / 'run'}"], capture_output=True, text=True)
    ranks = {}
    for pid in map(int, found.stdout.split()):
        try:
            environment = open(f"/proc/{pid}/environ", "rb").read()
        except OSError:  # it has ended
            continue
        if rank := re.search(rb"\0OMPI_COMM_WORLD_RANK=(\d+)\0", environment):
            ranks[int(rank[1])] = pid
    return ranks


def end(job, seconds):
    """The job's exit status; fails when it goes on."""
    begin = time.monotonic()
    code = job.wait(timeout=60)
    assert time.monotonic() - begin < seconds
    return code


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGFPE"])
def test_a_fault_names_rank_host_and_op(name, tmp_path):
    job, pid = start(tmp_path / "job")
    subprocess.run(["kill", f"-{name[3:]}", str(pid)], check=True)
    assert end(job, 10) != 0
    log = (tmp_path / "job" / "log").read_text()
    assert re.search(rf"ashlar: rank 3 on \S+: ended by {name}( in op [\w.]+( \(layer \d\))?, step \d+)?; --resume", log), log


def test_a_killed_rank_ends_the_job(tmp_path):
    job, pid = start(tmp_path / "job")
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    assert end(job, 10) != 0
    assert "rank 3" in (tmp_path / "job" / "log").read_text()  # mpirun's word


def test_a_rank_that_hangs_is_missed(tmp_path):
    job, pid = start(tmp_path / "job", "comm.timeout=3")
    subprocess.run(["kill", "-STOP", str(pid)], check=True)
    try:
        assert end(job, 3 + 10) == 1
    finally:
        subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)
    log = (tmp_path / "job" / "log").read_text()
    assert re.search(r"rank \d on \S+: \w+ '[\w.]+' on axis \w+ waited 3 s for rank \d", log), log
    assert "rank 3" in log


def test_killed_at_random_on_changing_layouts(tmp_path):
    """Any rank may die at any moment and the next start may have another layout: the log is that of a run on one
    rank that was left alone (CheckFreq, Mohan et al. 2021)."""
    settings = ["train.steps=300", "train.microbatch=4", "train.schedule=constant", "checkpoint.every=10", "comm.timeout=20"]
    layouts = ["mesh.data=2 --mpi=2", "mesh.tensor=2 --mpi=2", "mesh.pipe=2 --mpi=2", "mesh.data=2 mesh.tensor=2 parallel.zero=3 --mpi=4"]
    assert trained.train(tmp_path / "whole", "llama", settings).returncode == 0
    folder, dice, kills = tmp_path / "torn", random.Random(1), 0
    folder.mkdir()
    done = False
    while not done:
        layout = dice.choice(layouts).split()
        with (folder / "log").open("w") as log:
            job = subprocess.Popen(trained.arguments(folder, "llama", [*settings, *layout, "--resume"]),
                                   stdout=subprocess.DEVNULL, stderr=log)
            if kills < (50 if os.environ.get("ASHLAR_SOAK") == "1" else 8):
                while not processes(folder) and job.poll() is None:
                    time.sleep(0.05)
                time.sleep(dice.uniform(0, 0.7))
                if ranks := list(processes(folder).values()):
                    subprocess.run(["kill", "-KILL", str(dice.choice(ranks))], capture_output=True)
                    kills += 1
            done = job.wait(timeout=60) == 0
    assert kills >= 3
    found, wanted = trained.metrics(folder), trained.metrics(tmp_path / "whole")
    assert [row["step"] for row in found] == [row["step"] for row in wanted]
    for row, want in zip(found, wanted):
        assert row["loss"] == pytest.approx(want["loss"], rel=1e-4), row["step"]
