#!/usr/bin/env python3
"""Checks the house rules that a script can see; CONTRIBUTING.md lists them."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONG, TOO_LONG, README_LINES = 300, 600, 20

# What #if may ask about: the processor, the build, the tier. A missing library is a stub file.
CONDITIONS = {"defined", "__x86_64__", "__GNUC__", "__clang__", "NDEBUG", "ASHLAR_AVX512_ON_AVX2",
              "ASHLAR_TIER_NAMESPACE", "__SANITIZE_ADDRESS__", "__SANITIZE_THREAD__", "__CUDACC__"}
KERNEL_CONDITION = re.compile(r"__(AVX|FMA|F16C|BMI|AMX)\w*__")  # in kernels only

VAGUE = re.compile(r"^(utils?|helpers?|common|misc|manager)$|_(utils?|helpers?|misc|manager)$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NYI)\b|not (yet )?implemented", re.IGNORECASE)


def faults_of(name, text):
    """The faults of one source file."""
    path = pathlib.PurePath(name)
    lines = text.splitlines()
    if len(lines) > TOO_LONG:
        yield f"{name}: {len(lines)} lines, more than {TOO_LONG}: split it by idea"
    if VAGUE.search(path.stem.removesuffix("_test")):
        yield f"{name}: the name does not say what the file is"
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if UNFINISHED.search(line):
            yield f"{where}: unfinished work: {line.strip()}"
        if name.startswith("tests/") and re.search(r"\bGTEST_SKIP\(\)\s*;", line):
            yield f"{where}: a skip must say why"
        if name.startswith("tests/") and re.search(r"\bTEST\w*\(\w+,\s*DISABLED_", line):
            yield f"{where}: a disabled test is no test"
    if not name.startswith("ashlar/"):
        return
    if path.suffix == ".h":
        if not lines or not lines[0].startswith("//"):
            yield f"{name}: a header starts with its contract, a comment of 1-5 lines"
        if "#pragma once" not in lines:
            yield f"{name}: no #pragma once"
        if re.search(r"#\s*include\s*<nlohmann/", text):
            yield f"{name}: nlohmann-json belongs in .cc files only"
    for number, line in enumerate(lines, 1):
        if not (asked := re.match(r"\s*#\s*(?:el)?if(?:n?def)?\b(.*)", line)):
            continue
        for macro in re.findall(r"[A-Za-z_]\w*", asked[1].split("//")[0]):
            if macro in CONDITIONS:
                continue
            if name.startswith("ashlar/kernels/") and KERNEL_CONDITION.fullmatch(macro):
                continue
            yield f"{name}:{number}: #if on {macro}: use a stub source chosen by CMake"


def readme_faults(sources):
    """Every folder with sources says in a short README what it is."""
    for folder in sorted({pathlib.PurePath(name).parent for name in sources}):
        if folder.parts[0] != "ashlar":
            continue
        readme = ROOT / folder / "README.md"
        if not readme.exists():
            yield f"{folder}: no README.md (purpose, the header that is its door, its tests)"
        elif (count := len(readme.read_text().splitlines())) > README_LINES:
            yield f"{folder}/README.md: {count} lines, more than {README_LINES}"


def main():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    sources = [name for name in listed if name.endswith((".h", ".cc", ".cu", ".py"))
               and not name.startswith("tools/check_") and (ROOT / name).exists()]
    texts = {name: (ROOT / name).read_text() for name in sources}
    faults = [fault for name, text in texts.items() for fault in faults_of(name, text)]
    faults += readme_faults([name for name in sources if not name.endswith(".py")])
    for name, text in texts.items():
        if LONG < (count := len(text.splitlines())) <= TOO_LONG:
            print(f"note: {name} has {count} lines")
    print(*faults, f"{len(sources)} files, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
