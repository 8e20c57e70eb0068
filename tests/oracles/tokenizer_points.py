"""Every normalizer and pre-tokenizer of tokenizer.json, every pattern of the names that GGUF files have for theirs
and every rule set of SentencePiece over all code points, each alone, between letters and between marks: what we make
of them beside what the PyPI packages `tokenizers` and `sentencepiece` do.

    ./dev oracles tokenizer_points [WORD]    compare those with WORD in them (exit code 1 where something differs)
    ./dev oracles tokenizer_points --write   write tests/fixtures/tokenizers/code_points.json, hashes over fewer

It runs build/release/tests/text_stages_main.
"""
import base64
import io
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("ASHLAR_STAGES", str(ROOT / "build" / "release" / "tests" / "text_stages_main"))
GOLDEN = ROOT / "tests/fixtures/tokenizers/code_points.json"
# Of the planes that have no characters, some.
POINTS = [c for c in [*range(0x33480), *range(0x33480, 0xE0000, 211), *range(0xE0000, 0xE1000), *range(0xE1000, 0x110000, 211),
                      0x10FFFE, 0x10FFFF] if not 0xD800 <= c <= 0xDFFF]
FEW = [[0, 0x2FF, 1], [0x300, 0x2FFF, 7], [0x3000, 0x10FFFF, 997]]  # first, last, step
CONTEXTS = ["{}", "a{}b", "a\u0345{}\u0301\u0323 ", "3{}7", " {} "]
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Without \X, for which PCRE2 knows the marks of Unicode 14 only.
PATTERNS = [GPT4, GPT4.replace("{1,3}", ""), O200K, r"\w+|[^\w\s]+", r"[^\s\p{P}\p{S}]+", r"\p{Lu}+", r"\p{Ll}+", r"\p{M}+", r"\p{N}",
            r"(?i)k|å|s|ω|ж", r"[\u0390-\u03ff]|\u00e9", r"[[:punct:]]", r"[[:alpha:]]", r"[[:digit:]]", r"[[:space:]]", r"[[:upper:]]", r"[[:word:]]",
            r"\p{Han}|\p{Hiragana}|\p{Katakana}", r"\b", r"\h+", r"\d", r"\W"]


RULES = ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"]  # nmt_nfkc unless SentencePiece is told otherwise


def gguf_patterns():
    """The patterns of ashlar/bundle/gguf_pre_tokenizers.cc: its raw strings, those that follow one another as one."""
    source = (ROOT / "ashlar/bundle/gguf_pre_tokenizers.cc").read_text()
    literals = re.findall(r'(?:R"\(.*?\)"\s*)+', source, re.DOTALL)
    return list(dict.fromkeys("".join(re.findall(r'R"\((.*?)\)"', literal, re.DOTALL)) for literal in literals))


def charsmap(rules):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c"]), model_writer=model, vocab_size=7, minloglevel=2,
                                           normalization_rule_name=rules)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def split(pattern):
    return {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}}


def long_stages():
    """Those whose tables stand in the files: no row of the golden."""
    for rules in RULES:
        precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap(rules)}
        yield {"normalizer": precompiled}
        yield {"normalizer": precompiled | {"longest_match": True}, "rules": rules}  # as in a tokenizer.model
    for pattern in gguf_patterns():
        yield split(pattern)


def stages():
    for kind in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]:
        yield {"normalizer": {"type": kind}}
    yield {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}}
    for left, right in [(True, True), (True, False), (False, True)]:
        yield {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    for bits in range(24):
        yield {"normalizer": {"type": "BertNormalizer", "clean_text": bool(bits & 1), "handle_chinese_chars": bool(bits & 2),
                              "lowercase": bool(bits & 4), "strip_accents": [None, True, False][bits // 8]}}
    yield {"normalizer": {"type": "Prepend", "prepend": "\u2581"}}
    for kind in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"]:
        yield {"pre_tokenizer": {"type": kind}}
    for behavior in ["Isolated", "Contiguous", "Removed", "MergedWithPrevious", "MergedWithNext"]:
        yield {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
    for individual in [True, False]:
        yield {"pre_tokenizer": {"type": "Digits", "individual_digits": individual}}
    for prefix in [True, False]:
        for regex in [True, False]:
            yield {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}}
    yield {"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "b"}}
    yield {"pre_tokenizer": {"type": "FixedLength", "length": 2}}
    for scheme in ["always", "never"]:
        yield {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True}}
    for pattern in PATTERNS:
        yield split(pattern)


def reference(stage):
    """A function from a text to the bytes that text_stages_main prints."""
    if "rules" in stage:
        normalizer = sentencepiece.SentencePieceNormalizer(rule_name=stage["rules"], add_dummy_prefix=False, escape_whitespaces=False,
                                                           remove_extra_whitespaces=False)
        return lambda text: normalizer.normalize(text).encode() + b"\xfe\xff"
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
                "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": {"u": 0}, "unk_token": "u"}}
    tokenizer = Tokenizer.from_str(json.dumps(document | stage))
    if "normalizer" in stage:
        normalize = tokenizer.normalizer.normalize_str
        return lambda text: normalize(text).encode() + b"\xfe\xff"
    cut = tokenizer.pre_tokenizer.pre_tokenize_str
    return lambda text: b"".join(piece.encode() + b"\xfe" for piece, _ in cut(text)) + b"\xff"


def ours(stage, texts):
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(stage, file)
        file.flush()
        done = subprocess.run([PROGRAM, file.name], input=b"".join(t.encode() + b"\xff" for t in texts), check=True,
                              stdout=subprocess.PIPE)
    return done.stdout.split(b"\xff")[:-1]


def title(stage):
    return re.sub(r'("precompiled_charsmap": ".{16}).*?"', r'\1..."', json.dumps(stage))[:200]


def compare(stage):
    texts = [context.format(chr(c)) for c in POINTS for context in CONTEXTS]
    theirs = reference(stage)
    differences = [(text, found, wanted) for text, found in zip(texts, ours(stage, texts), strict=True)
                   if found + b"\xff" != (wanted := theirs(text))]
    for text, found, wanted in differences[:8]:
        print(f"  {text!a}: {found!r}, wanted {wanted!r}")
    print(f"{len(texts)} texts, {len(differences)} differences: {title(stage)}", flush=True)
    return not differences


def fnv1a(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


def golden(stage):
    points = [c for first, last, step in FEW for c in range(first, last + 1, step) if not 0xD800 <= c <= 0xDFFF]
    theirs = reference(stage)
    return {"stage": stage, "hash": fnv1a(b"".join(theirs(context.format(chr(c))) for c in points for context in CONTEXTS[:2]))}


def main():
    if not pathlib.Path(PROGRAM).exists():
        sys.exit(f"{PROGRAM} is missing; build it: ninja -C build/release text_stages_main")
    if "--write" in sys.argv:
        rows = ",\n".join(json.dumps(golden(stage)) for stage in stages())
        GOLDEN.write_text(f'{{"points": {json.dumps(FEW)}, "stages": [\n{rows}\n]}}\n')
        return 0
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    return 0 if all([compare(stage) for stage in itertools.chain(stages(), long_stages()) if wanted in json.dumps(stage)]) else 1


if __name__ == "__main__":
    sys.exit(main())
