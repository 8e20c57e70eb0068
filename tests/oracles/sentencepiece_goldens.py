"""Trains small SentencePiece models on the README and writes them, with the ids they give, to
tests/fixtures/sentencepiece.

    python tests/oracles/sentencepiece_goldens.py
"""
import io
import json
import pathlib

import sentencepiece

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "tests" / "fixtures" / "sentencepiece"
TEXTS = ["Hello, world!", "", " ", "  two  spaces and   more ", "train and serve, to the bit",
         "naïve café", "日本語 🦙", "<0x41> and <0xE6>", "train\u00a0\u180bto Ａ\u0301Ａ\u0323 \u200b the",
         "  the model the  ", "\n the \n", "tab\tand\nline", "ＦＵＬＬ width ﬁ", "it's 12345", "▁sign", "aaaaaaaa"]
MODELS = {
    "bpe": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True,
            "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe_no_prefix": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True,
                      "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                      "add_dummy_prefix": False},
    "unigram": {"model_type": "unigram", "vocab_size": 200, "normalization_rule_name": "identity"},
    "unigram_bytes": {"model_type": "unigram", "vocab_size": 460, "byte_fallback": True, "character_coverage": 0.98,
                      "normalization_rule_tsv": "rules"},
    "unigram_suffix": {"model_type": "unigram", "vocab_size": 200, "normalization_rule_name": "identity",
                       "treat_whitespace_as_suffix": True},
    "char": {"model_type": "char", "vocab_size": 90, "normalization_rule_tsv": "rules", "hard_vocab_limit": False},
    "word": {"model_type": "word", "vocab_size": 150, "normalization_rule_name": "identity"},
}
# From and to: an entry that begins another, one that only a longer grapheme begins with.
RULES = [("\u00a0", " "), ("ﬁ", "fi"), ("Ａ", "A"), ("Ａ\u0301", "Á"), ("\t", " "), ("\u200b", ""), ("é", "e")]


def main():
    lines = (ROOT / "README.md").read_text().splitlines()
    golden = {}
    rules = OUT / "rules.tsv"
    points = [" ".join(f"{ord(c):X}" for c in text) for rule in RULES for text in rule]
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in zip(points[::2], points[1::2])))
    for name, options in MODELS.items():
        options = {key: str(rules) if value == "rules" else value for key, value in options.items()}
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model,
                                                 minloglevel=2, **options)
        (OUT / f"{name}.model").write_bytes(model.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        golden[name] = [{"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))}
                        for text in TEXTS]
    rules.unlink()
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
