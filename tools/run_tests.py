#!/usr/bin/env python3
"""Runs the test programs of a build folder, several at once, and counts their cases.

Reads BUILD/tests/programs.txt (written by CMake: a program a line, with the number of shards to cut
it into). Prints a line per program as it ends, the output of what failed, the reason of every skip,
and last `N passed, N failed`. Exits 1 when a case failed or none passed.
"""
import argparse
import dataclasses
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = re.compile(r"\[ RUN      \] (\S+)$")
END = re.compile(r"\[(       OK |  FAILED  |  SKIPPED )\] ([^ ,]+).*\(\d+ ms\)$")


@dataclasses.dataclass
class Job:
    """One process: a gtest program (or a shard of it), or one Python test file."""
    name: str
    command: list
    env: dict
    report: pathlib.Path = None  # pytest's; None for gtest
    passed: list = dataclasses.field(default_factory=list)
    failed: dict = dataclasses.field(default_factory=dict)  # case -> its output
    skipped: dict = dataclasses.field(default_factory=dict)  # case -> reason
    running: str = ""
    seconds: float = 0.0


def gtest_jobs(build, only, excluded, launcher):
    listed = (build / "tests" / "programs.txt").read_text().split("\n")
    for line in filter(None, listed):
        program, shards = line.split()
        if only and program not in only:
            continue
        patterns = [p for name, p in excluded if name == program]
        command = launcher + [str(build / "tests" / program), "--gtest_color=no"]
        if patterns:
            command.append("--gtest_filter=-" + ":".join(patterns))
        for i in range(int(shards)):
            env = {"GTEST_TOTAL_SHARDS": shards, "GTEST_SHARD_INDEX": str(i)}
            label = program if shards == "1" else f"{program}[{i + 1}/{shards}]"
            yield Job(label, command, env)


def python_jobs(build, only):
    """The scripts tests/**/test_*.py, in an environment with what tests/requirements.txt names."""
    names = [str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").glob("**/test_*.py")]
    names = [name for name in sorted(names) if not only or name in only]
    if not names:
        return
    venv = ROOT / "build" / "venv"
    subprocess.run([ROOT / "tools" / "venv.sh", venv, ROOT / "tests" / "requirements.txt"], check=True)
    for name in names:
        report = build / "tests" / "logs" / (name.replace("/", ".") + ".xml")
        report.unlink(missing_ok=True)
        command = [venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   f"--rootdir={ROOT}", f"--junitxml={report}", ROOT / "tests" / name]
        yield Job(name, command, {}, report)


def follow_gtest(job, lines):
    """Sorts the cases of a gtest run as its output comes."""
    output = []
    for line in lines:
        if started := RUN.search(line):
            job.running, output = started[1], []
            continue
        if (ended := END.search(line)) and ended[2] == job.running:
            outcome = ended[1].strip()
            if outcome == "OK":
                job.passed.append(job.running)
            elif outcome == "SKIPPED":
                # "file:line: Skipped", then the reason.
                text = [o for o in output if not re.search(r": Skipped$", o)]
                job.skipped[job.running] = " ".join(text).strip() or "no reason given"
            else:
                job.failed[job.running] = "\n".join(output)
            job.running = ""
        elif disabled := re.search(r"YOU HAVE (\d+) DISABLED TEST", line):
            job.skipped[f"{disabled[1]} cases"] = "disabled"
        output.append(line)
    return output


def read_pytest(job):
    for case in xml.parse(job.report).iter("testcase"):
        name = case.get("name")
        bad = [e for e in case if e.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            job.failed[name] = "\n".join(e.text or "" for e in bad)
        elif skip is not None:
            job.skipped[name] = skip.get("message", "no reason given")
        else:
            job.passed.append(name)


def run(job, log, limit):
    start = time.monotonic()
    process = subprocess.Popen(job.command, env=os.environ | job.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True)
    killer = threading.Timer(limit, lambda: os.killpg(process.pid, 9))
    killer.start()
    with log.open("w") as file:
        def lines():
            for line in process.stdout:
                file.write(line)
                yield line.rstrip("\n")
        tail = follow_gtest(job, lines()) if job.report is None else list(lines())
    code = process.wait()
    killer.cancel()
    job.seconds = time.monotonic() - start
    if job.report is not None and job.report.exists():
        read_pytest(job)
    if code != 0 and not job.failed:
        reason = f"exit status {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        if job.seconds >= limit:
            reason = f"ran over {limit:.0f} s"
        job.failed[job.running or "(outside a case)"] = "\n".join(tail[-40:] + [reason])


class Summary:
    """What a person watches: a line a program, and at a terminal one that changes."""

    def __init__(self, total):
        self.total, self.ended, self.lock = total, 0, threading.Lock()
        self.terminal = sys.stdout.isatty()

    def show(self, jobs):
        if self.terminal:
            text = ", ".join(f"{j.name} {len(j.passed)}" for j in jobs)
            with self.lock:
                print(f"\r\033[K  running: {text}"[:120], end="", flush=True)

    def end(self, job):
        counts = f"{len(job.passed):5} passed {len(job.failed):3} failed"
        counts += f" {len(job.skipped):3} skipped" if job.skipped else ""
        with self.lock:
            self.ended += 1
            clear = "\r\033[K" if self.terminal else ""
            print(f"{clear}[{self.ended:2}/{self.total}] {job.name:24} {counts}  {job.seconds:.1f} s")
            for case, output in job.failed.items():
                print(f"--- FAILED {job.name} {case}\n{output.strip()}\n---")
            sys.stdout.flush()


def run_all(jobs, workers, logs, limit):
    waiting, running = queue.SimpleQueue(), []
    for job in jobs:
        waiting.put(job)
    summary = Summary(len(jobs))

    def work():
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            running.append(job)
            run(job, logs / (re.sub(r"[^\w.]", "_", job.name) + ".log"), limit)
            running.remove(job)
            summary.end(job)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        summary.show(list(running))
        threads[-1].join(0.5) if threads[-1].is_alive() else time.sleep(0.2)


def slowest_first(jobs, memory):
    """Orders by the seconds of the last run, so that no long one is left for the end."""
    seconds = dict(line.rsplit(" ", 1) for line in memory.read_text().splitlines()) \
        if memory.exists() else {}
    return sorted(jobs, key=lambda job: -float(seconds.get(job.name, 1e9)))


def patterns_of(file):
    """Lines of a list, without comments."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("only", nargs="*", help="e.g. base_test, serve/test_openai.py; all when empty")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=600, help="seconds a program may take")
    parser.add_argument("--exclude", type=pathlib.Path, help="lines 'program gtest-pattern'")
    parser.add_argument("--launcher", default="", help="command put before each program")
    parser.add_argument("--no-python", action="store_true", help="leaves tests/**/test_*.py out")
    parser.add_argument("--known-skips", type=pathlib.Path,
                        help="patterns of reasons; a skip for another reason counts as failed")
    parser.add_argument("--counts", type=pathlib.Path, help="appends 'passed failed skipped' to it")
    args = parser.parse_intermixed_args()

    build = args.build.resolve()
    logs = build / "tests" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    excluded = [line.split(None, 1) for line in patterns_of(args.exclude)] if args.exclude else []
    jobs = list(gtest_jobs(build, args.only, excluded, args.launcher.split()))
    os.environ["ASHLAR_BINARY"] = str(build / "ashlar")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    if not args.no_python:
        jobs += python_jobs(build, args.only)

    memory = build / "tests" / "seconds.txt"
    run_all(slowest_first(jobs, memory), args.jobs, logs, args.limit)
    memory.write_text("".join(f"{job.name} {job.seconds:.1f}\n" for job in jobs))

    known = patterns_of(args.known_skips) if args.known_skips else None
    unknown = 0
    reasons = {}
    for job in jobs:
        for reason in job.skipped.values():
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        fine = known is None or any(re.fullmatch(pattern, reason) for pattern in known)
        unknown += 0 if fine else count
        print(f"skipped {count}: {reason}" + ("" if fine else f"  (not in {args.known_skips}: fails)"))

    passed = sum(len(job.passed) for job in jobs)
    failed = sum(len(job.failed) for job in jobs) + unknown
    skipped = sum(len(job.skipped) for job in jobs) - unknown
    if args.counts:
        with args.counts.open("a") as file:
            file.write(f"{passed} {failed} {skipped}\n")
    for job in jobs:
        for case in job.failed:
            print(f"failed: {job.name} {case}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
