"""Draws small vocabularies in GGUF (llama, t5, bert) with the flags that files have, and writes what llama.cpp makes of texts
with them:

    build/oracles/llamacpp/bin/python tests/oracles/gguf_vocabularies.py SEED COUNT > vocabularies.json
    build/release/tests/bundle_vocabularies_main vocabularies.json

Kept is gguf_vocabularies.py kept 24 > tests/fixtures/tokenizers/gguf_vocabularies.json
"""
import ctypes
import json
import pathlib
import random
import sys
import tempfile

import gguf
import llama_cpp

SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
WORDS = ["ab", "abc", "cab", "bca", "a", "b", "hello", "low", "lower", "est", "é", "日本", "12", "1", "!", "?!", ",", "n't", "Ab", "É"]
EXTRA = ["<tool>", "<|end|>", "[X]", "ab|", "\n\n", "  "]


class Draw(random.Random):
    def text(self, specials, sign):
        pieces = []
        for _ in range(self.randint(0, 7)):
            kind = self.random()
            if kind < 0.6:
                pieces.append(self.choice(WORDS))
            elif kind < 0.72 and specials:
                pieces.append(self.choice(specials))
            else:
                pieces.append(self.choice([" ", "  ", "\n", "\t", sign, "x", "\u3000", "   ", "🎉"]))
            pieces.append(self.choice([" ", " ", "", "  "]))
        text = "".join(pieces)
        return text if self.random() < 0.5 else text.strip()

    def pieces(self, count, all_characters=True):
        """Substrings of texts as SentencePiece sees them, and, as it has them too, their characters, or some of them."""
        words = self.sample(WORDS, self.randint(4, len(WORDS)))
        found = []
        for _ in range(count):
            text = SPACE + SPACE.join(self.choice(words) for _ in range(3))
            begin = self.randrange(len(text))
            found.append(text[begin:begin + self.randint(2, 5)])
        characters = [c for c in "".join(found) if all_characters or self.random() < 0.3]
        return list(dict.fromkeys([*characters, *found] if not all_characters else [SPACE, *characters, *found]))

    def vocabulary(self):
        return self.choice([self.llama, self.llama, self.t5, self.t5, self.bert])()

    def extra(self):
        return [(t, self.choice([CONTROL, USER_DEFINED, USER_DEFINED])) for t in self.sample(EXTRA, self.randint(0, 3))]

    def flags(self, *names):
        return {f"tokenizer.ggml.{name}": self.random() < 0.5 for name in names if self.random() < 0.6}

    def llama(self):
        rows = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)] + [(f"<0x{b:02X}>", BYTE) for b in range(256)]
        rows += self.extra() + [(p, NORMAL) for p in self.pieces(40, self.random() < 0.7)]
        ids = {} if self.random() < 0.3 else {"bos": 1, "eos": 2, "unknown": 0}
        return self.done("llama", rows, ids, self.flags("add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces"))

    def t5(self):
        rows = [("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)] + self.extra()
        rows += [(p, self.choice([NORMAL] * 9 + [UNUSED])) for p in self.pieces(40)]
        ids = {} if self.random() < 0.3 else {"eos": 1, "unknown": 2}
        return self.done("t5", rows, ids, self.flags("add_eos_token", "add_space_prefix", "remove_extra_whitespaces"))

    def bert(self):
        rows = [("[PAD]", CONTROL), ("[UNK]", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)]
        rows += [row for row in self.extra() if row[0] not in ("  ", "\n\n")]
        rows += [(p, NORMAL) for p in self.pieces(60) if SPACE not in p[1:] and p != SPACE]
        return self.done("bert", rows, {"bos": 2, "seperator": 3, "unknown": 1},
                         self.flags("add_bos_token", "add_eos_token", "normalizer.lowercase", "normalizer.strip_accents"))

    def done(self, model, rows, ids, flags):
        rows = list({text: (text, kind) for text, kind in reversed(rows)}.values())[::-1]
        scores = [0.0 if kind != NORMAL else -round(self.uniform(0.5, 12) + i / 4096, 5) for i, (_, kind) in enumerate(rows)]
        return {"model": model, "tokens": [t for t, _ in rows], "kinds": [k for _, k in rows], "scores": scores,
                "ids": ids, "flags": flags}


def write(path, vocabulary):
    writer = gguf.GGUFWriter(path, "llama")
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"):
        writer.add_uint32(f"llama.{key}", 8)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["kinds"])
    writer.add_token_scores(vocabulary["scores"])
    for role, token in vocabulary["ids"].items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", token)
    for key, value in vocabulary["flags"].items():
        writer.add_bool(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    seed, count = sys.argv[1], int(sys.argv[2])
    # What it says of control tokens without a name would come between.
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            draw = Draw(f"{seed}.{i}")
            vocabulary = draw.vocabulary()
            path = str(pathlib.Path(folder) / "vocab.gguf")
            write(path, vocabulary)
            llama = llama_cpp.Llama(path, vocab_only=True, verbose=False)
            specials = [t for t, k in zip(vocabulary["tokens"], vocabulary["kinds"]) if k in (CONTROL, USER_DEFINED)]
            cases = []
            for _ in range(12):
                text, special = draw.text(specials, SPACE if vocabulary["model"] != "bert" else "-"), draw.random() < 0.5
                cases.append([text, special, llama.tokenize(text.encode(), add_bos=special, special=True)])
            rows.append(json.dumps(vocabulary | {"cases": cases}, ensure_ascii=True))
    print("[\n" + ",\n".join(rows) + "\n]")


if __name__ == "__main__":
    main()
