"""Draws tokenizers at random, every part of tokenizer.json with every option, and writes what the PyPI
package `tokenizers` makes of random texts: ids, type ids, what truncation cuts off, and decoded text.

    python tests/oracles/tokenizer_sweep.py SEED COUNT > sweep.json
    build/release/tests/text_sweep_main sweep.json      # prints the differences

`tests/fixtures/tokenizers/sweep.json` is a short one. A case without ids is one that the package refuses.
Not drawn, since the package's way is followed by nobody: tokens both normalized and special (version 0.23 does
not skip them), tokens that normalize to nothing (they cut the text everywhere), Prepend of nothing, and Metaspace
"first" behind Replace (it takes the end of the first match for the beginning).
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Tokenizer, trainers

from tokenizer_components import charsmap

SPACES = [" ", " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u3000", "\u2028", "\u200b", "\u1680", "\u2581", "\x85",
          "\x0b", "\u180e", "\u202f", "\ufeff"]
WORDS = ["the", "Hello", "world", "naïve", "café", "I'm", "don't", "WE'VE", "it's", "a", "b", "x", "12", "3.50", "2024",
         "1234567", "(or", "--", "...", "!?", "#@$%", "foo_bar", "C++", "<b>", "</s>", "[MASK]", "##ing", "<0x41>"]
LETTERS = [
    "éüñçøßÅİıǅŉ", "àe\u0301o\u0308\u0323", "дЖюЁй", "ελΣσςΐ", "אבגשׁ", "العربيةَّ", "हिन्दीक्ष", "ไทยภาษา", "한국어ᄀ\u1161ᆨ",
    "日本語カタカナひらがなｶﾞ", "中文漢字々〆", "𠀀𪚥", "😀👩\u200d👩\u200d👧🏽🇩🇪✈\ufe0f", "①Ⅷ½²٣߂", "ﬁﬄ℡㎏", "“”‘’—…¿¡«»", "€£¥₿+=<>^~|`",
    "\x00\x01\x07\x1b\x7f\x80\x9f", "\ufffd\uffff\ue000\U0010ffff\ufdd0", "\u200c\u200d\u200e\u202e\u2066", "\u0300\u0301\u0327\u0489\u20dd",
    "Ⰰꙮ\U00010400\U0001e900", "\u07fd\u1c89\ua7cb\U00011935\U0001611e", "ᏣᎳᎩᚠᛒ᠋ᠠ", "\u0e33\u0eb3\u1e9b\u0323\u0344",
]
PUNCTUATION = list(".,;:!?'\"-_/\\()[]{}<>@#$%^&*+=~`|")
REGEXES = [
    r"\d+|[^\w\s]", r"\s+", r"\p{N}{1,3}", r"[^\s\p{L}]+", r" ?\p{L}+", r"\p{Lu}\p{Ll}*", r"(?=\d)", r"\b", r"[aeiou]*", r"x*",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[一-龥぀-ゟ゠-ヿ]+", r"(?=(\d{3})+(?!\d))", r"\d{1,3}(?=(?:\d{3})*\b)", r"\W+", r"[\p{P}\p{S}]", r"^\s*|\s*$", r"\n",
    r"[\r\n]", r"\s?[!-/:-~]+", r"[^(\s|.,!?…)]+", r"\p{Han}", r".", r"\S", r"[[:punct:]]", r"[[:alpha:]]+", r"\h", r"(?<=a)b?",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]


RULES = [("Ａ", "A"), ("ﬁ", "fi"), ("Ⅷ", "VIII"), ("½", "1\u20442"), ("\u3000", " "), ("\u00a0", " "), ("\t", " "), ("\n", " "),
         ("e\u0301", "é"), ("\u1100\u1161", "\uac00"), ("\u200d", ""), ("\u200b", " "), ("o", "0"), ("x", "xyz"), ("İ", "I"),
         ("3.", "drei"), ("\x7f", ""), ("ab", "c"), ("😀", ":)"), ("\u0327", ""), ("ｶﾞ", "ガ")]


class Draw(random.Random):
    def maybe(self, chance=0.5):
        return self.random() < chance

    def word(self):
        kind = self.random()
        if kind < 0.45:
            return self.choice(WORDS)
        if kind < 0.85:
            alphabet = self.choice(LETTERS)
            return "".join(self.choice(alphabet) for _ in range(self.randint(1, 6)))
        if kind < 0.97:
            return "".join(self.choice(PUNCTUATION + ["a", "B", "7"]) for _ in range(self.randint(1, 4)))
        if kind < 0.99:
            return chr(self.choice([self.randint(0, 0xd7ff), self.randint(0xe000, 0x2ffff)]))
        return self.choice("a1 .é日\u0301") * self.randint(20, 300)

    def text(self, insertions=()):
        out = []
        for _ in range(self.choice([0, 1, 2, 3, 5, 8, 15])):
            if self.maybe(0.75):
                out.append(self.choice(SPACES) if self.maybe(0.5) else " ")
            out.append(self.choice(insertions) if insertions and self.maybe(0.25) else self.word())
        if self.maybe(0.3):
            out.append(self.choice(SPACES))
        return "".join(out)

    def pattern(self):
        if self.maybe(0.3):
            return {"String": self.choice([" ", "a", "▁", "ll", ".", "é", "  ", "\n", "", "(", "日"])}
        return {"Regex": self.choice(REGEXES)}

    def normalizer(self, depth=0):
        kind = self.choice(["Bert", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend",
                            "ByteLevel", "Precompiled", "Sequence", "Sequence"])
        if kind == "Sequence":
            if depth > 1:
                return {"type": "Lowercase"}
            return {"type": kind, "normalizers": [self.normalizer(depth + 1) for _ in range(self.randint(0, 4))]}
        if kind == "Bert":
            return {"type": "BertNormalizer", "clean_text": self.maybe(), "handle_chinese_chars": self.maybe(),
                    "strip_accents": self.choice([None, True, False]), "lowercase": self.maybe()}
        if kind == "Strip":
            return {"type": kind, "strip_left": self.maybe(), "strip_right": self.maybe()}
        if kind == "Replace":
            return {"type": kind, "pattern": self.pattern(), "content": self.choice([" ", "", "▁", "-", "ab", "é"])}
        if kind == "Prepend":
            return {"type": kind, "prepend": self.choice(["▁", " ", "ab"])}
        if kind == "Precompiled":
            return {"type": kind, "precompiled_charsmap": self.charsmap()}
        return {"type": kind}

    def charsmap(self):
        return self.choice(CHARSMAPS)

    def metaspace(self):
        return {"type": "Metaspace", "replacement": self.choice(["▁", "▁", "▁", "_", "Ġ"]),
                "prepend_scheme": self.choice(["always", "first", "never"]), "split": self.maybe(0.7)}

    def byte_level(self):
        return {"type": "ByteLevel", "add_prefix_space": self.maybe(), "trim_offsets": self.maybe(), "use_regex": self.maybe()}

    def pre_tokenizer(self, depth=0):
        kind = self.choice(["BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation",
                            "Split", "Split", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit", "Sequence", "Sequence"])
        if kind == "Sequence":
            if depth > 1:
                return {"type": "Whitespace"}
            return {"type": kind, "pretokenizers": [self.pre_tokenizer(depth + 1) for _ in range(self.randint(0, 3))]}
        if kind == "ByteLevel":
            return self.byte_level()
        if kind == "CharDelimiterSplit":
            return {"type": kind, "delimiter": self.choice([" ", "a", "▁", ".", "é"])}
        if kind == "Digits":
            return {"type": kind, "individual_digits": self.maybe()}
        if kind == "FixedLength":
            return {"type": kind, "length": self.randint(1, 9)}
        if kind == "Metaspace":
            return self.metaspace()
        if kind == "Punctuation":
            return {"type": kind, "behavior": self.choice(BEHAVIORS)}
        if kind == "Split":
            return {"type": kind, "pattern": self.pattern(), "behavior": self.choice(BEHAVIORS), "invert": self.maybe(0.3)}
        return {"type": kind}

    def template(self, ids):
        def special():
            return {"SpecialToken": {"id": self.choice(list(ids)), "type_id": self.randint(0, 2)}}

        def sequence(name):
            return {"Sequence": {"id": name, "type_id": self.randint(0, 2)}}

        def around(pieces):
            out = []
            for piece in pieces:
                out += [special() for _ in range(self.randint(0, 2))] + [piece]
            return out + [special() for _ in range(self.randint(0, 2))]

        return {"type": "TemplateProcessing", "single": around([sequence("A")]),
                "pair": around([sequence("A"), sequence("B")] if self.maybe(0.8) else [sequence("B"), sequence("A")]),
                "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in ids.items()}}

    def post_processor(self, ids, depth=0):
        kind = self.choice(["Bert", "Roberta", "Template", "Template", "ByteLevel", "Sequence"])
        if kind == "Template":
            return self.template(ids)
        if kind == "ByteLevel":
            return self.byte_level()
        if kind == "Sequence" and depth == 0:
            return {"type": kind, "processors": [self.post_processor(ids, 1) for _ in range(self.randint(0, 3))]}
        both = {"sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]}
        if kind == "Roberta":
            return {"type": "RobertaProcessing", **both, "trim_offsets": self.maybe(), "add_prefix_space": self.maybe()}
        return {"type": "BertProcessing", **both}

    def decoder(self, depth=0):
        kind = self.choice(["BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece",
                            "Sequence", "Sequence"])
        if kind == "Sequence":
            if depth > 1:
                return {"type": "Fuse"}
            return {"type": kind, "decoders": [self.decoder(depth + 1) for _ in range(self.randint(0, 4))]}
        if kind == "BPEDecoder":
            return {"type": kind, "suffix": self.choice(["</w>", "e", ""])}
        if kind == "ByteLevel":
            return self.byte_level()
        if kind == "CTC":
            return {"type": kind, "pad_token": self.choice(["<pad>", "[PAD]", "a"]),
                    "word_delimiter_token": self.choice(["|", " ", "b"]), "cleanup": self.maybe()}
        if kind == "Metaspace":
            return self.metaspace()
        if kind == "Replace":
            return {"type": kind, "pattern": self.pattern(), "content": self.choice([" ", "", "▁", "ab"])}
        if kind == "Strip":
            return {"type": kind, "content": self.choice([" ", "a", "▁"]), "start": self.randint(0, 2), "stop": self.randint(0, 1)}
        if kind == "WordPiece":
            return {"type": kind, "prefix": self.choice(["##", "a", ""]), "cleanup": self.maybe()}
        return {"type": kind}

    def added_tokens(self):
        contents = self.sample(["<b>", "</s>", "bold", "the", "He", " w", "é", "x", "  ", "[MASK]", "İ", "日本", ".", "HELLO", "hello",
                                "naïve", "\n", "👩", "'", "12"], self.randint(0, 6))
        # Not both normalized and special: decode would leave such a token in that it is asked to skip, a
        # fault of the package's version 0.23 that is not followed.
        kinds = [(False, False), (True, False), (False, True)]  # normalized, special
        tokens = []
        for content in contents:
            normalized, special = self.choice(kinds)
            tokens.append(AddedToken(content, single_word=self.maybe(0.3), lstrip=self.maybe(0.3), rstrip=self.maybe(0.3),
                                     normalized=normalized, special=special))
        return tokens

    def truncation(self):
        size = self.randint(1, 14)
        return {"direction": self.choice(["Left", "Right"]), "max_length": size,
                "strategy": self.choice(["LongestFirst", "LongestFirst", "OnlyFirst", "OnlySecond"]),
                "stride": self.choice([0, 0, 1, self.randint(0, max(0, size - 1))])}

    def padding(self, pad):
        return {"strategy": self.choice(["BatchLongest", {"Fixed": self.randint(0, 20)}]), "direction": self.choice(["Left", "Right"]),
                "pad_to_multiple_of": self.choice([None, None, 4, 0]), "pad_id": pad, "pad_type_id": self.randint(0, 3),
                "pad_token": "[PAD]"}


CHARSMAPS = []
EMPTY = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}


def pieces_of(stages, texts):
    """The words that normalizer and pre-tokenizer make of the texts."""
    tokenizer = Tokenizer.from_str(json.dumps(document(stages, EMPTY)))
    words = []
    for text in texts:
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        if tokenizer.pre_tokenizer is not None:
            words += [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        elif text:
            words.append(text)
    return words


def document(stages, model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, **stages, "model": model}


def word_level(draw, words):
    vocab = dict.fromkeys(SPECIALS + words)
    kept = [w for w in vocab if w in SPECIALS or draw.maybe(0.9)]
    return {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(kept)}, "unk_token": "[UNK]"}


def bpe(draw, words):
    prefix = draw.choice([None, None, None, "##", "@@"])
    suffix = draw.choice([None, None, None, "</w>"])
    tokenizer = Tokenizer.from_str(json.dumps(document({}, {"type": "BPE", "vocab": {}, "merges": []})))
    trainer = trainers.BpeTrainer(vocab_size=draw.randint(60, 400), special_tokens=SPECIALS, show_progress=False,
                                  continuing_subword_prefix=prefix or "", end_of_word_suffix=suffix or "",
                                  limit_alphabet=draw.choice([1000, 60]))
    from tokenizers.pre_tokenizers import Split
    tokenizer.pre_tokenizer = Split("\x02", "removed")
    tokenizer.train_from_iterator(["\x02".join(w.replace("\x02", "") for w in words)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    fallback = draw.maybe(0.4)
    if fallback:
        for byte in range(256 if draw.maybe(0.8) else 200):
            model["vocab"].setdefault(f"<0x{byte:02X}>", len(model["vocab"]))
    if draw.maybe() and not any(" " in a or " " in b for a, b in model["merges"]):
        model["merges"] = [f"{a} {b}" for a, b in model["merges"]]
    if draw.maybe(0.3):  # words that no merges make
        for word in draw.sample(words, min(len(words), 5)):
            model["vocab"].setdefault(word, len(model["vocab"]))
    return model | {"type": "BPE", "dropout": None, "unk_token": draw.choice([None, "[UNK]", "[UNK]"]),
                    "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": draw.maybe(),
                    "byte_fallback": fallback, "ignore_merges": draw.maybe(0.3)}


def substrings(draw, words, count):
    found = {}
    for word in words:
        for _ in range(3):
            start = draw.randrange(max(1, len(word)))
            found[word[start:start + draw.randint(1, 5)]] = start == 0
    found.pop("", None)
    return dict(draw.sample(sorted(found.items()), min(count, len(found))))


def word_piece(draw, words):
    prefix = draw.choice(["##", "##", "", "@"])
    tokens = dict.fromkeys(SPECIALS)
    for text, starts in substrings(draw, words, 300).items():
        tokens[text if starts else prefix + text] = None
    for c in sorted(set("".join(words))):
        if draw.maybe(0.9):
            tokens |= {c: None, prefix + c: None}
    return {"type": "WordPiece", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": "[UNK]",
            "continuing_subword_prefix": prefix, "max_input_chars_per_word": draw.choice([100, 100, 5])}


def unigram(draw, words):
    tokens = dict.fromkeys(SPECIALS)
    tokens |= dict.fromkeys(substrings(draw, words, 300))
    tokens |= dict.fromkeys(c for c in sorted(set("".join(words))) if draw.maybe(0.9))
    fallback = draw.maybe(0.4)
    if fallback:
        tokens |= dict.fromkeys(f"<0x{byte:02X}>" for byte in range(256 if draw.maybe(0.8) else 200))
    scores = [-1.5, -2.0, -3.0, -4.25, -6.5]  # ties are wanted
    vocab = [[t, draw.choice(scores) if draw.maybe(0.7) else -10 * draw.random()] for t in tokens]
    return {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": fallback}


def call(function):
    """The result, or None where the package raises or panics."""
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException:  # a panic is no Exception
        return None


def draw_golden(draw):
    stages = {}
    if draw.maybe(0.6):
        stages["normalizer"] = draw.normalizer()
    if draw.maybe(0.8):
        stages["pre_tokenizer"] = draw.pre_tokenizer()
    written = json.dumps(stages)
    if '"first"' in written and '"Replace"' in written:
        return None
    added = draw.added_tokens() if draw.maybe(0.5) else []
    if "normalizer" in stages:
        normalizer = Tokenizer.from_str(json.dumps(document(stages, EMPTY))).normalizer
        added = [token for token in added if call(lambda t=token: normalizer.normalize_str(t.content))]
    texts = [draw.text([a.content for a in added]) for _ in range(12)]
    words = call(lambda: pieces_of(stages, texts))
    if words is None:
        return None
    model = draw.choice([word_level, word_level, bpe, bpe, word_piece, unigram])(draw, words)
    ids = {t: next(i for i, row in enumerate(model["vocab"]) if row[0] == t) if model["type"] == "Unigram" else model["vocab"][t]
           for t in SPECIALS}
    if draw.maybe(0.5):
        stages["post_processor"] = draw.post_processor(ids)
    if draw.maybe(0.7):
        stages["decoder"] = draw.decoder()
    if draw.maybe(0.3):
        stages["truncation"] = draw.truncation()
    if draw.maybe(0.2):
        stages["padding"] = draw.padding(ids["[PAD]"])
    tokenizer = call(lambda: Tokenizer.from_str(json.dumps(document(stages, model))))
    if tokenizer is None:
        return None
    if call(lambda: tokenizer.add_tokens(added)) is None:
        return None
    if draw.maybe(0.5):
        tokenizer.add_special_tokens([s for s in SPECIALS if draw.maybe()])
    saved = tokenizer.to_str()
    tokenizer = call(lambda: Tokenizer.from_str(saved))
    if tokenizer is None:
        return None
    golden = {"tokenizer": json.loads(saved), "cases": [], "decodes": []}
    for i, text in enumerate(texts):
        inputs = [text] if i % 3 else [text, draw.choice(texts)]
        special = draw.maybe(0.7)
        room = stages.get("truncation", {}).get("max_length")
        # Too short even for the special tokens: the package's count wraps around.
        if special and room is not None and room < tokenizer.num_special_tokens_to_add(len(inputs) == 2):
            continue
        case = {"texts": inputs, "special": special}
        encoding = call(lambda: tokenizer.encode(*inputs, add_special_tokens=special))
        if encoding is not None:
            case |= {"ids": encoding.ids, "type_ids": encoding.type_ids}
            if encoding.overflowing:
                case["overflowing"] = [[e.ids, e.type_ids] for e in encoding.overflowing]
            golden["decodes"] += decoded(tokenizer, encoding.ids)
        golden["cases"].append(case)
    size = tokenizer.get_vocab_size()
    for _ in range(3):
        golden["decodes"] += decoded(tokenizer, [draw.randrange(size + 2) for _ in range(draw.randint(0, 12))])
    return golden


def decoded(tokenizer, ids):
    rows = []
    for skip in (False, True):
        text = call(lambda: tokenizer.decode(ids, skip_special_tokens=skip))
        if text is not None:
            rows.append({"ids": ids, "skip": skip, "text": text})
    return rows


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    sys.stderr = open(os.devnull, "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # panics print themselves
    draw = Draw(seed)
    for size in (len(RULES), 8):
        CHARSMAPS.append(charsmap(RULES[:size]))
    goldens = [golden for golden in (draw_golden(Draw(f"{seed}.{i}")) for i in range(count)) if golden]
    print("[\n" + ",\n".join(json.dumps(golden, ensure_ascii=True) for golden in goldens) + "\n]")


if __name__ == "__main__":
    main()
