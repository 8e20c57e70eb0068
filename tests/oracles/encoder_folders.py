"""Encoders of every family as sentence-transformers lays them out, with random weights and tokenizers
trained on the README: what llamacpp_encoders.py converts.

    python tests/oracles/encoder_folders.py FOLDER [NAME...]
"""
import io
import json
import pathlib
import sys

import sentencepiece
import torch
import transformers
from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BERT = dict(hidden_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=512,
            max_position_embeddings=512, type_vocab_size=2)
ROBERTA = BERT | dict(type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                      max_position_embeddings=514)
MODERN = dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=384,
              max_position_embeddings=512, local_attention=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
              cls_token_id=1, sep_token_id=2)
BERT_TOKENS = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]")
ROBERTA_TOKENS = dict(unk_token="<unk>", cls_token="<s>", sep_token="</s>", pad_token="<pad>", mask_token="<mask>",
                      bos_token="<s>", eos_token="</s>")


def lines():
    return (ROOT / "README.md").read_text().splitlines()


def around(tokenizer, first, last):
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} {last} $B {last}", special_tokens=ids)
    return tokenizer


def word_pieces(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(lines(), trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
    return around(tokenizer, "[CLS]", "[SEP]")


def byte_level(special, first, last, composed):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC() if composed else None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines(), trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special))
    tokenizer.add_special_tokens([AddedToken(special[-1], lstrip=True, special=True)])
    return around(tokenizer, first, last)


def fields(message):
    """(number, bytes or varint) of a protocol-buffer message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 5:
            at += 4
            continue
        value = varint()
        if tag & 7 == 2:
            at, value = at + value, message[at:at + value]
        yield tag >> 3, value


def charsmap_of(model):
    normalizer = dict(fields(model))[3]
    return dict(fields(normalizer))[2]


def unigram():
    """As transformers makes it of XLM-R's sentencepiece.bpe.model."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=written, model_type="unigram", vocab_size=400,
        normalization_rule_name="nmt_nfkc", minloglevel=2)
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab += [(model.id_to_piece(i), model.get_score(i)) for i in range(3, len(model))] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(charsmap_of(written.getvalue()))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    return around(tokenizer, "<s>", "</s>")


ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MODERN_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
# Name: model_type, config, pooling, tokenizer, its special tokens.
CASES = {
    "bert": ("bert", BERT, "mean", lambda: word_pieces(True), BERT_TOKENS),
    "bert_cased": ("bert", BERT, "cls", lambda: word_pieces(False), BERT_TOKENS),
    "nomic_bert": ("nomic_bert", BERT, "mean", lambda: word_pieces(True), BERT_TOKENS),
    "roberta": ("roberta", ROBERTA, "cls", lambda: byte_level(ROBERTA_SPECIAL, "<s>", "</s>", False), ROBERTA_TOKENS),
    "xlm_roberta": ("xlm-roberta", ROBERTA, "mean", unigram, ROBERTA_TOKENS),
    "modernbert": ("modernbert", MODERN, "mean", lambda: byte_level(MODERN_SPECIAL, "[CLS]", "[SEP]", True),
                   BERT_TOKENS),
}


def save(name, folder):
    kind, keys, pooling, make_tokenizer, special = CASES[name]
    tokenizer = make_tokenizer()
    torch.manual_seed(1)
    # More rows than tokens, as files on the hub have them.
    config = transformers.AutoConfig.for_model(kind, vocab_size=640, **keys)
    model = transformers.AutoModel.from_config(config).float().eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            norm = "norm" in key.lower() or "emb_ln" in key
            p.normal_(0, 0.2 if norm or p.dim() < 2 else 0.08)
            p.add_(1.0 if norm and key.endswith("weight") else 0.0)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    texts = {
        "tokenizer_config.json": special | {"model_max_length": 512},
        "modules.json": [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{module}"}
                         for i, (module, path) in enumerate(modules)],
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": 256, f"pooling_mode_{pooling}_token"
                                  if pooling == "cls" else "pooling_mode_mean_tokens": True},
    }
    if pooling == "cls":
        texts["1_Pooling/config.json"]["pooling_mode_mean_tokens"] = False
    for path, value in texts.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(value, indent=1) + "\n")


def main():
    for name in sys.argv[2:] or CASES:
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        save(name, folder)


if __name__ == "__main__":
    main()
