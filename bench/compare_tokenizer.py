#!/usr/bin/env python3
"""Encoding speed of Ashlar and Hugging Face tokenizers on one core, in turns in one run.

usage: compare_tokenizer.py [--rounds 3] [--text FILE] [--kinds LIST] [--write]
It needs build/release/ashlar and build/release/bench/tokenizer_bench (ninja tokenizer_bench). The text is 10 MB of
the system's headers unless --text names another. Vocabularies are learnt from it: byte-level BPE with the
words of GPT-2 and of Llama 3, SentencePiece's BPE as in Llama 2, Unigram, WordPiece and WordLevel; both load the
same tokenizer.json. Times are processor time of one thread, after one pass that warms the caches: ours for the whole
text (build/release/bench/tokenizer_bench), theirs for its pieces of 64 KB (encode_batch_fast, which keeps no
offsets). Ids are compared on the first pieces. The ratio is that of the medians (> 1: we are faster); exit code 1
where it is below. --write: writes bench/results/tokenizer_compare.json and .md.
"""
import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from oracles_venv import ROOT, enter

enter("tokenizers")
import tokenizers

BUILD = ROOT / "build" / "release"
BYTES, PIECE, COMPARED = 10_000_000, 65_536, 4
KINDS = {"bpe-gpt2": ["--pattern", "gpt2", "--vocab-size", "50257"],
         "bpe-llama3": ["--pattern", "llama3", "--vocab-size", "32000"],
         "sentencepiece-bpe": None,
         "unigram": ["--kind", "unigram", "--vocab-size", "8000"],
         "wordpiece": ["--kind", "wordpiece", "--vocab-size", "30522"],
         "wordlevel": None}


def headers():
    """10 MB of the system's headers, in the order of their paths, as UTF-8."""
    text = ""
    for path in sorted(pathlib.Path("/usr/include").rglob("*")):
        if path.suffix in (".h", ".hpp", ".cc") and path.is_file():
            text += path.read_text(errors="replace")
        if len(text) >= BYTES:
            break
    return text.encode()[:BYTES].decode(errors="ignore")


def pieces_of(text):
    """Cut at the ends of lines, about PIECE characters each."""
    pieces, start = [], 0
    while start < len(text):
        end = text.rfind("\n", start, start + PIECE) + 1 or start + PIECE
        pieces.append(text[start:end])
        start = end
    return pieces


def learn(kind, corpus, out):
    if KINDS[kind] is not None:
        subprocess.run([BUILD / "ashlar", "tokenize", "train", corpus, "--out", out] + KINDS[kind], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return
    {"sentencepiece-bpe": learn_sentencepiece, "wordlevel": learn_words}[kind](corpus.read_text(), out)


def learn_words(text, out):
    """The most frequent words and runs of punctuation."""
    learnt = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="<unk>"))
    learnt.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    learnt.train_from_iterator([text], tokenizers.trainers.WordLevelTrainer(
        vocab_size=30000, special_tokens=["<unk>"], show_progress=False))
    learnt.save(str(out))


def learn_sentencepiece(text, out):
    """Llama 2's form of a SentencePiece model, learnt from the first 2 MB."""
    learnt = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    learnt.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    learnt.train_from_iterator([text[:2_000_000]], tokenizers.trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)],
        show_progress=False))
    document = json.loads(learnt.to_str())
    document["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    document["pre_tokenizer"] = None
    document["added_tokens"] = document["added_tokens"][:3]
    document["model"] |= {"byte_fallback": True, "fuse_unk": True}
    out.write_text(json.dumps(document))


def ours(tokenizer, corpus):
    environment = os.environ | {"ASHLAR_BENCH_TOKENIZER": str(tokenizer), "ASHLAR_BENCH_TEXT": str(corpus)}
    done = subprocess.run([BUILD / "bench" / "tokenizer_bench", "--benchmark_filter=encode_given",
                           "--benchmark_format=json", "--benchmark_min_time=2"], env=environment, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout)["benchmarks"][0]["cpu_time"] / 1e3


def theirs(tokenizer, pieces):
    start = time.process_time()
    tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
    return time.process_time() - start


def same_ids(path, tokenizer, pieces, folder):
    for piece in pieces[:COMPARED]:
        (folder / "piece").write_text(piece)
        done = subprocess.run([BUILD / "ashlar", "tokenize", "encode", path, "--file", folder / "piece", "--json"],
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if json.loads(done.stdout)["ids"] != tokenizer.encode(piece, add_special_tokens=True).ids:
            return False
    return True


def compare(kind, text, rounds, folder):
    corpus, path = folder / "corpus.txt", folder / f"{kind}.json"
    learn(kind, corpus, path)
    pieces, tokenizer = pieces_of(text), tokenizers.Tokenizer.from_file(str(path))
    theirs(tokenizer, pieces)
    seconds = {"ashlar": [], "tokenizers": []}
    for _ in range(rounds):
        seconds["ashlar"].append(ours(path, corpus))
        seconds["tokenizers"].append(theirs(tokenizer, pieces))
    megabytes = len(text.encode()) / 1e6
    rates = {name: megabytes / statistics.median(values) for name, values in seconds.items()}
    row = {"kind": kind, "vocab": tokenizer.get_vocab_size(), "mb_per_s": rates, "seconds": seconds,
           "ratio": rates["ashlar"] / rates["tokenizers"],
           "same_ids": same_ids(path, tokenizer, pieces, folder)}
    print(f"{kind}: {rates['ashlar']:.1f} and {rates['tokenizers']:.1f} MB/s, ratio {row['ratio']:.2f}, ids "
          f"{'equal' if row['same_ids'] else 'DIFFER'}", flush=True)
    return row


def write_results(rows, args, megabytes):
    stem = ROOT / "bench" / "results" / "tokenizer_compare"
    version = json.loads(subprocess.run([BUILD / "ashlar", "version", "--json"], check=True, text=True,
                                        stdout=subprocess.PIPE).stdout)
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    facts = {"date": datetime.date.today().isoformat(), "cpu": cpu, "rounds": args.rounds, "load": os.getloadavg()[0],
             "tokenizers": tokenizers.__version__, "ashlar": version, "megabytes": megabytes, "rows": rows}
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    lines = [f"# Encoding on one core: Ashlar and Hugging Face tokenizers {tokenizers.__version__}", "",
             f"{facts['date']}, {cpu}, one thread; other programs ran too (load {facts['load']:.0f}), so times are "
             f"processor time. Text: {megabytes:.1f} MB.", "",
             f"Made by `bench/compare_tokenizer.py --rounds {args.rounds} --write`: in turns, medians; MB a second.", "",
             "| tokenizer | vocabulary | Ashlar | tokenizers | ratio | ids |", "|---|---|---|---|---|---|"]
    for row in rows:
        rates = row["mb_per_s"]
        lines.append(f"| {row['kind']} | {row['vocab']} | {rates['ashlar']:.1f} | {rates['tokenizers']:.1f} | "
                     f"{row['ratio']:.2f} | {'equal' if row['same_ids'] else 'differ'} |")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    text = args.text.read_bytes().decode(errors="ignore") if args.text else headers()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "corpus.txt").write_text(text)
        rows = [compare(kind, text, args.rounds, folder) for kind in args.kinds.split(",")]
    if args.write:
        write_results(rows, args, len(text.encode()) / 1e6)
    return 0 if all(row["ratio"] >= 1 and row["same_ids"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
