"""Draws templates at random and prints what jinja2 renders, for text_templates_main:

    python3 tests/oracles/jinja_sweep.py SEED COUNT >sweep.json
    build/release/tests/text_templates_main sweep.json

A small draw is kept: jinja_sweep.py kept 400 >tests/fixtures/chat/sweep.json
"""

import copy
import json
import re
import sys
import warnings

from jinja_draws import Draw
from jinja_goldens import dump_list, render
from jinja_snippets import VARIABLES


def main():
    seed, count = sys.argv[1], int(sys.argv[2])
    warnings.simplefilter("ignore")  # of Python, about the code that jinja2 writes
    rows, seen = [], set()
    for i in range(count):
        source = Draw(f"{seed}.{i}").template()
        if source in seen or len(source) > 1500:
            continue
        seen.add(source)
        row = {"source": source, **render(source, copy.deepcopy(VARIABLES))}
        # Addresses of Python objects can't be matched.
        text = row.get("text", "")
        if not re.search(" object at |<built-in", text, re.IGNORECASE) and len(text) < 3000:
            rows.append(row)
    variables = json.dumps(VARIABLES, ensure_ascii=False)
    sys.stdout.write('{"variables": ' + variables + ',\n"snippets": ' + dump_list(rows) + "}\n")


if __name__ == "__main__":
    main()
