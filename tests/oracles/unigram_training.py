"""Learning Unigram beside the PyPI package `tokenizers`: `ashlar tokenize train --kind unigram` on the same
texts. What we learn has to load there, give the same ids, and need hardly more tokens than what it learns.

    ./dev oracles unigram_training           compare (exit code 1 where something differs)
    ./dev oracles unigram_training --write   write tests/fixtures/tokenizers/unigram_training.json
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
GOLDEN = ROOT / "tests/fixtures/tokenizers/unigram_training.json"
SPECIAL = ["<unk>", "<s>", "</s>"]
MORE = 1.03  # tokens for the text, at most so many times theirs
TEXTS = [
    ((ROOT / "LICENSE").read_text()[:8000], 400),
    ((ROOT / "docs/architecture.md").read_text()[:6000], 600),
    ("\u65e5\u672c\u8a9e\u306e\u6587\u3068\u65e5\u672c\u306e\u8a9e na\u00efve na\u00efvet\u00e9 "
     "\U0001F642 12 1234 it's we'll\n" * 9, 60),
]


def theirs(text, vocab_size):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator([text], trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
    return tokenizer


def compare(text, vocab_size):
    with tempfile.TemporaryDirectory() as folder:
        corpus, learnt = pathlib.Path(folder) / "corpus.txt", pathlib.Path(folder) / "tokenizer.json"
        corpus.write_text(text)
        subprocess.run([ASHLAR, "tokenize", "train", str(corpus), "--kind", "unigram", "--vocab-size",
                        str(vocab_size), "--out", str(learnt)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        loaded = Tokenizer.from_file(str(learnt))
        done = subprocess.run([ASHLAR, "tokenize", "encode", str(learnt), "--file", str(corpus), "--json"],
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    ids = json.loads(done.stdout)["ids"]
    same = ids == loaded.encode(text, add_special_tokens=False).ids
    tokens = len(theirs(text, vocab_size).encode(text, add_special_tokens=False).ids)
    good = same and len(ids) <= MORE * tokens
    print(f"{vocab_size} tokens from {len(text)} characters: {len(ids)} tokens, theirs {tokens}; ids "
          f"{'equal' if same else 'DIFFER'} there; {'ok' if good else 'NOT GOOD'}")
    return good


def main():
    if "--write" in sys.argv:
        goldens = [{"text": text, "vocab_size": size,
                    "tokens": len(theirs(text, size).encode(text, add_special_tokens=False).ids)}
                   for text, size in TEXTS]
        GOLDEN.write_text("[\n" + ",\n".join(json.dumps(g, ensure_ascii=False) for g in goldens) + "\n]\n")
        return 0
    return 0 if all([compare(*text) for text in TEXTS]) else 1


if __name__ == "__main__":
    sys.exit(main())
