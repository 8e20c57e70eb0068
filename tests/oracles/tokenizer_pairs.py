"""Writes tests/fixtures/tokenizers/pairs.json: what the PyPI package `tokenizers` makes of one text and of
pairs, with post-processors one after the other, truncation by each strategy, and padding.

    python tests/oracles/tokenizer_pairs.py > tests/fixtures/tokenizers/pairs.json

A case without ids is one that the package refuses.
"""
import json

from tokenizers import Tokenizer

VOCAB = {"<unk>": 0, "a": 1, "b": 2, "[C]": 3, "[S]": 4, "[X]": 5}
TEXTS = [["a b a b"], ["a b", "b a b b a"], ["a b a b a", "b"], ["", "a b a"]]


def special(token, type_id=0):
    return {"SpecialToken": {"id": token, "type_id": type_id}}


def sequence(name, type_id=0):
    return {"Sequence": {"id": name, "type_id": type_id}}


def template(single, pair, tokens):
    return {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {t: {"id": t, "ids": [VOCAB[t]], "tokens": [t]} for t in tokens}}


FRONT = template([special("[C]"), sequence("A")],
                 [special("[C]"), sequence("A"), special("[S]", 2), sequence("B", 1)], ["[C]", "[S]"])
BACK = template([sequence("A", 3), special("[X]", 4)],
                [sequence("A", 3), special("[X]", 4), sequence("B", 5), special("[X]", 6)], ["[X]"])
BERT = {"type": "BertProcessing", "sep": ["[S]", 4], "cls": ["[C]", 3]}
ROBERTA = {"type": "RobertaProcessing", "sep": ["[S]", 4], "cls": ["[C]", 3], "trim_offsets": True,
           "add_prefix_space": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
STEPS = [[FRONT, BACK], [BACK, FRONT], [BERT, BACK], [BACK, ROBERTA], [ROBERTA, BERT], [BACK, BYTE_LEVEL, BERT]]
PROCESSORS = [FRONT, BACK, BERT, ROBERTA] + [{"type": "Sequence", "processors": steps} for steps in STEPS]
LENGTHS = [(strategy, size, direction)
           for strategy in ("LongestFirst", "OnlyFirst", "OnlySecond")
           for size, direction in ((2, "Right"), (3, "Left"), (5, "Right"), (6, "Left"))]
PADDINGS = [("Right", {"Fixed": 7}, None), ("Left", {"Fixed": 7}, 4), ("Right", "BatchLongest", 8)]


def cases(processor, truncation=None, padding=None):
    document = {"version": "1.0", "truncation": truncation, "padding": padding, "added_tokens": [],
                "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": processor,
                "decoder": None, "model": {"type": "WordLevel", "vocab": VOCAB, "unk_token": "<unk>"}}
    tokenizer = Tokenizer.from_str(json.dumps(document))
    found = []
    for texts in TEXTS:
        for add in (True, False):
            case = {"texts": texts, "special": add}
            # Too short even for the special tokens: the package's count wraps around.
            if add and truncation and truncation["max_length"] < tokenizer.num_special_tokens_to_add(len(texts) == 2):
                continue
            try:
                encoding = tokenizer.encode(*texts, add_special_tokens=add)
                case |= {"ids": encoding.ids, "type_ids": encoding.type_ids}
            except BaseException:  # a panic is no Exception
                pass
            found.append(case)
    return {"tokenizer": document, "cases": found}


def main():
    goldens = [cases(processor) for processor in PROCESSORS]
    for strategy, size, direction in LENGTHS:
        truncation = {"max_length": size, "strategy": strategy, "stride": 0, "direction": direction}
        goldens.append(cases(FRONT, truncation))
    for direction, strategy, multiple in PADDINGS:
        padding = {"strategy": strategy, "direction": direction, "pad_to_multiple_of": multiple, "pad_id": 5,
                   "pad_type_id": 9, "pad_token": "[X]"}
        truncation = {"max_length": 6, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        goldens.append(cases(BERT, truncation, padding))
    print("[\n" + ",\n".join(json.dumps(golden) for golden in goldens) + "\n]")


if __name__ == "__main__":
    main()
