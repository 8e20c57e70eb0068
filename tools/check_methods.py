#!/usr/bin/env python3
"""Checks docs/methods.md: every row names a test or a bench, and each of them exists."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "methods.md"
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
TEST = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.MULTILINE)


def faults():
    rows = 0
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        where = f"docs/methods.md:{number}"
        links = LINK.findall(line)
        if re.match(r"\| [A-Z]+\d+ \|", line):
            rows += 1
            if not links:
                yield f"{where}: a row without a test"
        for name, target in links:
            path = PAGE.parent / target
            if not path.is_file():
                yield f"{where}: there is no {target}"
            elif target.endswith(".py") and name.startswith("test_") and not name.endswith(".py"):
                if f"def {name}(" not in path.read_text():
                    yield f"{where}: {target} has no test {name}"
            elif target.endswith("_test.cc") and "." in name and not name.endswith(".cc"):
                tests = {".".join(found) for found in TEST.findall(path.read_text())}
                if name not in tests:
                    yield f"{where}: {target} has no test {name}"
    if rows == 0:
        yield "docs/methods.md: no row found"


found = list(faults())
print("\n".join(found) if found else "every test that docs/methods.md names exists")
sys.exit(1 if found else 0)
