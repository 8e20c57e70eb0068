"""Writes tests/fixtures/tokenizers/components.json: one small tokenizer for each normalizer,
pre-tokenizer, post-processor, decoder and added-token flag, with what the PyPI package `tokenizers`
makes of a few texts.

    python tests/oracles/tokenizer_components.py > tests/fixtures/tokenizers/components.json

A WordLevel model whose vocabulary holds exactly the pieces turns every difference into another id.
"""
import base64
import io
import json
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

TEXTS = [
    "Hello, world!  It's 3.50$ (or 4\u20ac) -- na\u00efve caf\u00e9, \u0130stanbul",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u4e2d\u6587 \uff21\uff22\uff23 \ufb01ne \u2167 \u00bd x\u00b2",
    "  lead\tand  trail \u00a0\u3000",
    "e\u0301 a\u0308\u0323 \u1e9b\u0323 \u00c5 \uac00 \u1100\u1161",
    "a_b-c.d\u200dz \u0915\u094d\u0937 12\u0663\u0664 \u2581x <b>bold</b>",
    # Characters younger than some of the reference's tables.
    "a\u07fd\u0323 \u32ff \U00011935\U00011930 \u1c89\ua7cb x\u2e47y \u166d \u08d3\u08e2 \U0001611e",
    "x",
    "",
]
SPLITS = [
    {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    for pattern in ({"String": " "}, {"Regex": r"\d+|[^\w\s]"})
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
    for invert in (False, True)
]


def charsmap(rules):
    """What SentencePiece compiles of (from, to) pairs."""
    def points(text):
        return " ".join(f"{ord(c):X}" for c in text)

    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as tsv:
        tsv.write("".join(f"{points(a)}\t{points(b)}\n" for a, b in rules))
        tsv.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c"]), model_writer=model, vocab_size=7, minloglevel=2,
            normalization_rule_tsv=tsv.name)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


RULES = [("\uff21", "A"), ("\uff22\uff23", "BC"), ("\ufb01", "fi"), ("\u2167", "VIII"),
         ("\u00bd", "1\u20442"), ("\u3000", " "), ("\u00a0", " "), ("\t", " "), ("e\u0301", "\u00e9"),
         ("a\u0308", "\u00e4"), ("\u1100\u1161", "\uac00"), ("\u200d", ""), ("o", "0"), ("x", "xyz"),
         ("\u0130", "I"), ("3.", "drei"), ("\u08d3", "")]
NORMALIZERS = [
    {"type": "Precompiled", "precompiled_charsmap": charsmap(RULES)},
    {"type": "NFC"},
    {"type": "NFD"},
    {"type": "NFKC"},
    {"type": "NFKD"},
    {"type": "Lowercase"},
    {"type": "Strip", "strip_left": True, "strip_right": False},
    {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
    {"type": "Nmt"},
    {"type": "ByteLevel"},
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": "l"}, "content": "L1"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"},
] + [
    {"type": "BertNormalizer", "clean_text": a, "handle_chinese_chars": b, "strip_accents": c,
     "lowercase": d}
    for a, b, c, d in [(1, 1, None, 1), (1, 0, None, 0), (0, 1, True, 0), (0, 0, False, 1)]
]
for n in NORMALIZERS:
    for key in ("clean_text", "handle_chinese_chars", "lowercase"):
        if key in n:
            n[key] = bool(n[key])
PRE_TOKENIZERS = SPLITS + [
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    {"type": "BertPreTokenizer"},
    {"type": "Whitespace"},
    {"type": "WhitespaceSplit"},
    {"type": "Punctuation", "behavior": "Isolated"},
    {"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "Digits", "individual_digits": True},
    {"type": "Digits", "individual_digits": False},
    {"type": "CharDelimiterSplit", "delimiter": "a"},
    {"type": "FixedLength", "length": 3},
    {"type": "UnicodeScripts"},
] + [
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}
    for scheme in ("always", "first", "never")
    for split in (True, False)
] + [
    {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        {"type": "Digits", "individual_digits": False}]},
    {"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]},
]
POST_PROCESSORS = [
    {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 2]},
    {"type": "RobertaProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 2], "trim_offsets": True,
     "add_prefix_space": True},
    {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": "x", "type_id": 3}},
                    {"Sequence": {"id": "A", "type_id": 1}}],
         "pair": [{"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "x", "type_id": 4}},
                  {"Sequence": {"id": "A", "type_id": 2}}],
         "special_tokens": {"x": {"id": "x", "ids": [2, 1], "tokens": ["[CLS]", "[SEP]"]}}}]},
]
DECODERS = [
    ({"type": "WordPiece", "prefix": "##", "cleanup": True}, ["a", "##b", "do not", ".", "##.", "'s"]),
    ({"type": "WordPiece", "prefix": "##", "cleanup": False}, ["##a", "##b", "c", ","]),
    ({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
     ["\u2581a\u2581", "\u2581b", "c"]),
    ({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True},
     ["\u2581a", "\u2581b", "c"]),
    ({"type": "BPEDecoder", "suffix": "</w>"}, ["a", "b</w>", "c</w>"]),
    ({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
     ["h", "h", "<pad>", "h", "|", "|", "x", "n't"]),
    ({"type": "ByteFallback"}, ["<0xE4>", "<0xB8>", "<0xAD>", "a", "<0xE4>", "<0xB8>", "b", "<0x41>"]),
    ({"type": "Fuse"}, ["a", "b"]),
    ({"type": "Strip", "content": " ", "start": 2, "stop": 1}, ["   a b  ", " c "]),
    ({"type": "Sequence", "decoders": [{"type": "Fuse"},
                                       {"type": "Strip", "content": " ", "start": 1, "stop": 2}]},
     ["  a ", " b  ", "   "]),
    ({"type": "Replace", "pattern": {"Regex": "[ab]"}, "content": "-"}, ["abc", "b"]),
    ({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
     ["\u0120\u00e4\u00b8", "\u0143", "\u20ac x", "\u00e4"]),
    (None, ["a", "b", "c"]),
]
# Pieces of several lengths over the texts, ties among them, the unknown token in the middle.
UNIGRAMS = [("a", -3.5), ("l", -3.0), ("<unk>", -8.0), ("ll", -6.0), ("\u2581", -2.0), ("o", -3.25),
            ("lo", -5.0), ("\u2581Hel", -7.5), ("He", -4.0), ("rl", -5.5), ("w", -4.5), ("\u2581w", -4.75),
            ("or", -5.25), ("d", -3.75), ("na", -6.5), ("\u65e5", -9.0), ("\u65e5\u672c", -9.5), (" ", -2.5),
            ("e", -2.75), ("ad", -6.25), ("le", -6.0), ("lead", -11.0), ("\u0301", -7.0), (",", -4.0)]
BYTES = [(f"<0x{byte:02X}>", -20.0 - byte / 256) for byte in range(256)]
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}


def unigram(vocab, byte_fallback):
    return {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": byte_fallback}


MODELS = [
    {"model": unigram(UNIGRAMS, False)},
    {"model": unigram(UNIGRAMS, False), "pre_tokenizer": METASPACE, "decoder": METASPACE},
    {"model": unigram(UNIGRAMS + BYTES, True), "decoder": {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"}, {"type": "Fuse"}]}},
    {"model": unigram(UNIGRAMS + BYTES[:-60], True), "pre_tokenizer": METASPACE},
    {"model": unigram(UNIGRAMS, False), "pre_tokenizer": {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
]
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
ADDED = [
    [("<b>", ()), ("</b>", ("special",))],
    [("bold", ("single_word",)), ("ol", ("lstrip",)), ("<", ("rstrip", "special"))],
    [("wor", ("single_word",)), ("It", ("lstrip", "rstrip")), ("lead", ("lstrip", "special"))],
    [("HELLO", ("normalized",)), ("Hello", ()), ("hello, w", ("normalized",))],
]


def document(vocab, **parts):
    base = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}}
    return base | parts


def load(doc):
    return Tokenizer.from_str(json.dumps(doc))


def cases(vocabulary_of, **parts):
    pieces = ["[UNK]", "[SEP]", "[CLS]"]
    for text in TEXTS:
        pieces += vocabulary_of(text)
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return encoded(document(vocab, **parts))


def encoded(doc):
    tokenizer = load(doc)
    texts = []
    for text in TEXTS:
        with_types = tokenizer.encode(text)
        pair = tokenizer.encode(text, "x")
        texts.append({"text": text, "ids": with_types.ids, "type_ids": with_types.type_ids,
                      "pair": pair.ids, "pair_type_ids": pair.type_ids,
                      "decoded": tokenizer.decode(with_types.ids, skip_special_tokens=True)})
    return {"tokenizer": doc, "cases": texts}


def added_tokens(rows, vocab_size):
    return [{"id": vocab_size + i, "content": content, **{f: f in flags for f in FLAGS}}
            for i, (content, flags) in enumerate(rows)]


def main():
    goldens = []
    for n in NORMALIZERS:
        normalize = load(document({"[UNK]": 0}, normalizer=n)).normalizer.normalize_str
        goldens.append(cases(lambda text: [normalize(text)] if normalize(text) else [],
                             normalizer=n))
    for p in PRE_TOKENIZERS:
        cut = load(document({"[UNK]": 0}, pre_tokenizer=p)).pre_tokenizer.pre_tokenize_str
        goldens.append(cases(lambda text: [piece for piece, _ in cut(text)], pre_tokenizer=p))
    for parts in MODELS:
        goldens.append(encoded(document({}, **parts)))
    spaces = {"type": "WhitespaceSplit"}
    for p in POST_PROCESSORS:
        goldens.append(cases(str.split, pre_tokenizer=spaces, post_processor=p))
    for rows in ADDED:
        contents = {content for content, _ in rows}

        def words(text):
            return [w for w in text.lower().split() if w not in contents]

        size = len(dict.fromkeys(["[UNK]", "[SEP]", "[CLS]"] + [w for t in TEXTS for w in words(t)]))
        goldens.append(cases(words, pre_tokenizer=spaces, normalizer={"type": "Lowercase"},
                             added_tokens=added_tokens(rows, size)))
    for truncation, padding in [
        ({"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}, None),
        ({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}, None),
        (None, {"strategy": {"Fixed": 7}, "direction": "Right", "pad_to_multiple_of": None,
                "pad_id": 1, "pad_type_id": 5, "pad_token": "[SEP]"}),
        (None, {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": 4,
                "pad_id": 1, "pad_type_id": 0, "pad_token": "[SEP]"}),
    ]:
        golden = cases(str.split, pre_tokenizer=spaces, post_processor=POST_PROCESSORS[0],
                       truncation=truncation, padding=padding)
        for case in golden["cases"]:  # pairs are not truncated or padded by us
            del case["pair"], case["pair_type_ids"]
        goldens.append(golden)
    for decoder, tokens in DECODERS:
        vocab = {"[UNK]": 0} | {t: i + 1 for i, t in enumerate(dict.fromkeys(tokens))}
        doc = document(vocab, decoder=decoder)
        ids = [vocab[t] for t in tokens]
        tokenizer = load(doc)
        goldens.append({"tokenizer": doc, "cases": [], "decodes": [
            {"ids": ids[:n], "decoded": tokenizer.decode(ids[:n])} for n in range(1, len(ids) + 1)]})
    print("[\n" + ",\n".join(json.dumps(g, ensure_ascii=False) for g in goldens) + "\n]")


if __name__ == "__main__":
    main()
