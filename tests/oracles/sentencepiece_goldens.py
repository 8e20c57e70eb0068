"""Trains two small SentencePiece models on the README and writes them, with the ids they give, to
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
         "naïve café", "日本語 🦙", "tab\tand\nline", "ＦＵＬＬ width ﬁ", "it's 12345", "▁sign", "aaaaaaaa"]
MODELS = {
    "bpe": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True,
            "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe_no_prefix": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True,
                      "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                      "add_dummy_prefix": False},
    "unigram": {"model_type": "unigram", "vocab_size": 200, "normalization_rule_name": "identity"},
}


def main():
    lines = (ROOT / "README.md").read_text().splitlines()
    golden = {}
    for name, options in MODELS.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model,
                                                 minloglevel=2, **options)
        (OUT / f"{name}.model").write_bytes(model.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        golden[name] = [{"text": text, "ids": processor.encode(text)} for text in TEXTS]
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
