#!/usr/bin/env python3
"""Packs the sources of a library or program into groups that compile as one translation unit each.

Prints a line `group path` per source (cmake/grouping.cmake reads them). Two sources share a group only
where no private name of one (of an unnamed namespace, static, or a macro) is used by the other or its
headers, so that none means something else beside the other. A source with `using namespace` stays alone.
"""
import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = 2500  # a group's sources together; one that is longer stays alone

UNNAMED = re.compile(r"^namespace \{$.*?^\}  // namespace$", re.M | re.S)
NOT_CODE = re.compile(r"""R"(\w*)\(.*?\)\1"|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'|^#include[^\n]*""", re.M | re.S)
# A line that is not indented declares something; unindented by clang-format, that is.
DECLARED = re.compile(r"\b(?:struct|class|union|enum|define)\s+(\w+)|\busing (\w+) =|"
                      r"(?<![\w:~])([A-Za-z_]\w*)\s*(?=[(={;\[])")
OUTSIDE = re.compile(r"^(?:static|constexpr|const|#define|using|template <.*> static)\b.*", re.M)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
# Functions, types and constants that are not looked up in a class or a named namespace.
USED = re.compile(r"(?<![\w.:>])(?:[a-z_]\w*(?=[(<{])|[A-Z]\w*|k[A-Z]\w*)")
MACRO = re.compile(r"[A-Z_]{4,}")  # TEST(...)
KEYWORDS = {"alignas", "class", "const", "decltype", "for", "if", "namespace", "noexcept", "operator",
            "requires", "return", "sizeof", "static_assert", "struct", "switch", "template", "typename",
            "void", "while"}


def code_of(text):
    return NOT_CODE.sub("", text)


def private_names(text):
    """Names that `text` declares for itself alone."""
    lines = [line for region in UNNAMED.findall(text) for line in code_of(region).splitlines()[1:]]
    lines += OUTSIDE.findall(code_of(text))
    return {name for line in lines if re.match(r"[\w#[]", line)
            for found in DECLARED.findall(line) for name in found
            if name and not MACRO.fullmatch(name)} - KEYWORDS


@functools.cache
def used_in(path):
    """Names that a file looks up, and the types and constants of the headers of ours it includes."""
    text = path.read_text()
    used = set(USED.findall(code_of(text)))
    for header in (ROOT / name for name in INCLUDE.findall(text)):
        if header.exists():
            used |= {name for name in used_in(header) if not name.islower()}
    return used


class Group:
    def __init__(self):
        self.paths, self.lines, self.used, self.private = [], 0, set(), set()

    def takes(self, lines, used, private):
        clash = private & (self.used | self.private) or self.private & used
        return self.lines + lines <= LINES and not clash

    def add(self, path, lines, used, private):
        self.paths.append(path)
        self.lines += lines
        self.used |= used
        self.private |= private


def grouped(paths):
    """Lists of paths: first fit, in the order of the names."""
    groups = []
    for path in sorted(paths):
        text = pathlib.Path(path).read_text()
        if re.search(r"^\s*using namespace\b", text, re.M):
            continue
        source = text.count("\n"), used_in(pathlib.Path(path)), private_names(text)
        group = next((group for group in groups if group.takes(*source)), None)
        if group is None:
            groups.append(group := Group())
        group.add(path, *source)
    return [group.paths for group in groups if len(group.paths) > 1]


def main():
    for number, paths in enumerate(grouped(sys.argv[1:]), 1):
        for path in paths:
            print(number, path)


if __name__ == "__main__":
    main()
