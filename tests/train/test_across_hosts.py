"""`ashlar train` across two hosts: network namespaces with names of their own, joined by a veth pair. The
link is real TCP between real processes; it is cut in the middle of a run, and the run is resumed."""
import os
import re
import subprocess
import time

import pytest
import trained

LAYOUT = ["mesh.data=2", "mesh.tensor=2", "train.microbatch=2"]


class TwoHosts:
    """Namespaces a and b at 10.77.0.1 and 10.77.0.2; mpirun runs in a and reaches b through `agent`."""

    def __init__(self, folder):
        self.a, self.b = (f"ashlar-{side}-{os.getpid()}" for side in "ab")
        self.agent = folder / "agent"
        self.agent.write_text("#!/bin/sh\nshift\n"  # called as: agent HOST COMMAND
                              f"exec ip netns exec {self.b} unshare --uts "
                              "sh -c 'hostname nodeb; exec sh -c \"$*\"' sh \"$@\"\n")
        self.agent.chmod(0o755)
        for name in self.a, self.b:
            self._ip("netns", "add", name)
        self._ip("link", "add", "veth-a", "netns", self.a, "type", "veth", "peer", "name", "veth-b", "netns", self.b)
        for name, side, number in (self.a, "a", 1), (self.b, "b", 2):
            self._ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", f"veth-{side}")
            self._ip("-n", name, "link", "set", "lo", "up")
            self._ip("-n", name, "link", "set", f"veth-{side}", "up")
            # What is sent and never acknowledged holds keep-alive probes back: it is given up after three tries.
            self._ip("netns", "exec", name, "sh", "-c", "echo 3 > /proc/sys/net/ipv4/tcp_retries2")
        self.wait_for_link()

    @staticmethod
    def _ip(*words):
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

    def cut_link(self):
        self._ip("-n", self.a, "link", "set", "veth-a", "down")

    def mend_link(self):
        self._ip("-n", self.a, "link", "set", "veth-a", "up")
        self.wait_for_link()

    def wait_for_link(self):
        """The kernel looks at links once a second; before both ends are up there is no way to the other host."""
        for name, side in (self.a, "a"), (self.b, "b"):
            while "state UP" not in self._ip("-n", name, "link", "show", f"veth-{side}"):
                time.sleep(0.05)

    def close(self):
        for name in self.a, self.b:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def command(self, arguments):
        """Four ranks of that program, two a host. As docs/training.md has it: a lost host is noticed soon."""
        return ["ip", "netns", "exec", self.a, "unshare", "--uts", "sh", "-c", "hostname nodea; exec \"$@\"", "sh",
                "mpirun", "-n", "4", "--host", "10.77.0.1:2,10.77.0.2:2", "--allow-run-as-root", "--oversubscribe",
                "--bind-to", "none", "--mca", "plm_rsh_agent", str(self.agent), "--mca", "btl", "tcp,self",
                "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.77.0.0/24",
                "--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1",
                "--mca", "oob_tcp_keepalive_probes", "2", *arguments]


@pytest.fixture
def hosts(tmp_path):
    try:
        two = TwoHosts(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {getattr(error, 'stderr', error)}".strip())
    yield two
    two.close()


def run(folder, command, timeout=120):
    folder.mkdir(exist_ok=True)
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def test_two_hosts_have_the_bits_of_threads(hosts, tmp_path):
    there = tmp_path / "hosts"
    result = run(there, hosts.command(trained.arguments(there, "llama", LAYOUT)))
    assert result.returncode == 0, trained.last_words(result)
    here = trained.train(tmp_path / "threads", "llama", [*LAYOUT, "--ranks=4"])
    assert here.returncode == 0, trained.last_words(here)
    trained.check_equal(there, tmp_path / "threads", tolerance=0)


def test_a_cut_link_ends_both_sides_and_resume_goes_on(hosts, tmp_path):
    layout = [*LAYOUT, "train.steps=100", "checkpoint.every=10", "checkpoint.keep=2"]
    folder = tmp_path / "cut"
    folder.mkdir()
    command = hosts.command(trained.arguments(folder, "llama", [*layout, "comm.timeout=3"]))
    with (folder / "log").open("w") as log:
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        while not (folder / "run" / "latest").exists():
            assert job.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)
        hosts.cut_link()
        begin = time.monotonic()
        assert job.wait(timeout=60) != 0
    log = (folder / "log").read_text()
    assert time.monotonic() - begin < 3 + 10, log  # comm.timeout, and what ending takes
    assert re.search(r"rank \d on node[ab]: \w+ '[\w.]+' on axis \w+ waited 3 s for rank \d", log), log
    for _ in range(100):
        left = subprocess.run(["pgrep", "-f", f"run.dir={folder / 'run'}"], capture_output=True, text=True).stdout
        if not left:
            break
        time.sleep(0.1)
    assert not left, "processes are left"
    assert len(trained.metrics(folder)) < 100

    hosts.mend_link()
    result = run(folder, hosts.command(trained.arguments(folder, "llama", [*layout, "--resume"])))
    assert result.returncode == 0, trained.last_words(result)
    whole = tmp_path / "whole"
    result = trained.train(whole, "llama", [*layout, "--ranks=4"])
    assert result.returncode == 0, trained.last_words(result)
    found, wanted = trained.metrics(folder), trained.metrics(whole)
    assert [(r["step"], r["loss"], r["grad_norm"]) for r in found] == [(r["step"], r["loss"], r["grad_norm"]) for r in wanted]
