"""Writes tests/fixtures/tokenizers/training.json: what the byte-level BPE trainer of the PyPI package
`tokenizers` learns from small texts.

    python tests/oracles/tokenizer_training.py > tests/fixtures/tokenizers/training.json
"""
import json
import pathlib

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
LLAMA3 = json.loads((FIXTURES / "models/llama/tokenizer.json").read_text())["pre_tokenizer"]
TEXTS = [
    (FIXTURES.parent.parent / "LICENSE").read_text()[:6000],
    "aaaa aaa aa a aaaaaaaa aaab baaa ababab bababa\n" * 7
    + "\u65e5\u672c\u8a9e \u65e5\u672c na\u00efve na\u00efvet\u00e9 \U0001F642\U0001F642 12 123 1234 it's we'll\n\n\n" * 3,
]


def main():
    goldens = []
    for text in TEXTS:
        for pattern, vocab_size, min_frequency, special in [
            ("gpt2", 420, 2, ["<|endoftext|>"]),
            ("llama3", 500, 3, ["<s>", "</s>"]),
        ]:
            byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
            if pattern == "llama3":
                split = LLAMA3["pretokenizers"][0]["pattern"]["Regex"]
                byte_level = pre_tokenizers.Sequence([
                    pre_tokenizers.Split(Regex(split), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = byte_level
            tokenizer.train_from_iterator([text], trainers.BpeTrainer(
                vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
            goldens.append({"pattern": pattern, "vocab_size": vocab_size, "text": text,
                            "min_frequency": min_frequency, "special_tokens": special,
                            "merges": json.loads(tokenizer.to_str())["model"]["merges"],
                            "ids": tokenizer.encode(text).ids})
    print("[\n" + ",\n".join(json.dumps(g, ensure_ascii=False) for g in goldens) + "\n]")


if __name__ == "__main__":
    main()
