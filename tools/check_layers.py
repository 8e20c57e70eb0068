#!/usr/bin/env python3
"""Checks that no file includes what its folder may not: the table is tools/layers.txt."""
import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def read_layers(path):
    """Rows of the table: name -> the set of folders, headers and <system headers> granted."""
    rows, folders = {}, []
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, grants = line.partition(":")
        granted = set()
        for grant in grants.split():
            if grant == "ABOVE":
                granted |= set(folders)
            elif grant.startswith("-"):
                granted.discard(grant[1:])
            else:
                granted.add(grant)
        rows[name] = granted
        if "/" not in name and "*" not in name:
            folders.append(name)
    return rows


def row_of(path, rows):
    """The narrowest row for a folder's file: serve/policy before serve. None: an unknown folder."""
    folder = path.parent
    while str(folder) != ".":
        if str(folder) in rows:
            return str(folder)
        folder = folder.parent
    return None


def check_file(file, text, rows):
    """Yields the faults of one file; `file` is its path below ashlar/."""
    row = row_of(file, rows)
    if row is None:
        yield f"ashlar/{file}: its folder has no row in tools/layers.txt"
        return
    narrow = [name for name in rows if "*" in name and fnmatch.fnmatch(file.name, name)]
    for quote, header in INCLUDE.findall(text):
        if narrow and quote == "<" and f"<{header}>" not in rows[narrow[0]]:
            yield f"ashlar/{file}: <{header}> is not among the headers that {narrow[0]} may include"
        if quote == "<":
            continue
        if not header.startswith("ashlar/"):
            yield f'ashlar/{file}: "{header}": include our headers by their path in the repository'
            continue
        target = header.removeprefix("ashlar/")
        owner = row_of(pathlib.PurePath(target), rows)
        granted = rows[narrow[0]] if narrow else rows[row] | {row}
        if target not in granted and target.split("/")[0] not in granted and owner not in granted:
            yield f"ashlar/{file}: {narrow[0] if narrow else row} may not include {header}"


def main():
    rows = read_layers(ROOT / "tools" / "layers.txt")
    listed = subprocess.run(["git", "ls-files", "ashlar"], cwd=ROOT, check=True, text=True,
                            stdout=subprocess.PIPE).stdout.split()
    sources = [ROOT / name for name in listed if name.endswith((".h", ".cc", ".cu", ".cuh"))]
    sources = [path for path in sources if path.exists()]
    faults = []
    for path in sources:
        faults += check_file(path.relative_to(ROOT / "ashlar"), path.read_text(), rows)
    print(*faults, f"{len(sources)} files, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
