"""Writes tests/fixtures/tokenizers/gguf_pre.json: what llama.cpp makes of texts by each name of tokenizer.ggml.pre,
with one small vocabulary whose merges reach across all borders, so that every cut shows.

    build/oracles/llamacpp/bin/python tests/oracles/gguf_pre_tokenizers.py > tests/fixtures/tokenizers/gguf_pre.json
"""
import collections
import json
import pathlib
import tempfile

import gguf
import llama_cpp

NAMES = """a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell command-r dbrx deepseek-coder
deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone-moe exaone4 f2llmv2 falcon falcon-h1 falcon3 gigachat glm4
glm5 gpt-2 gpt3-finnish granite-docling grok-2 hunyuan hunyuan-dense hy_v4 jais jais-2 jina-de jina-es jina-v1-en
jina-v2-code jina-v2-de jina-v2-es jina-v5-nano joyai-llm kormo laguna lfm2 llada-moe llama-bpe llama-v3 llama3 megrez mellum
mellum2 midm-2.0 minerva-7b minicpm5 modern-bert mpt olmo phi-2 pixtral poro-chat qwen2 qwen35 refact roberta-bpe seed-coder
smaug-bpe smollm solar-open spark2_5 stablelm2 starcoder superbpe trillion ufakzeka viking""".split()
# Here llama.cpp comes near to the pattern of the model's own tokenizer, which is the one that is followed.
OTHERWISE = """cohere2moe gpt-4o granite-embed-multi-97m kanana2 kimi-k2 llama4 minimax-m2 talkie tekken tiny_aya
youtu""".split()
TEXTS = [
    "Hello, y'all! How are you 😁 ?我想在apple工作1314151天～", "  lead  and trail  ", "I'm WE'LL he'd 'tis o'clock DON'T", "",
    "1 12 123 1234 12345 123456 1234567 12345678 x1234567y 1,234,567.89", "IMGIMGABCDZ <sentinel:12>  a\tb\n    c",
    "ÉCOLE École МОСКВА Москва ΑΘΗΝΑ naïve", "日本語のテキスト、漢字！「引用」 한국어 ㄅㄆㄇ ไทย ພາສາ မြန်မာ",
    "a  b   c    d\n\n\n  f \n \n g\r\n\r\nh\r", "C++ a//b /path == != -> :: $x @y #z %w ^v &u *t `q` |p| ~o", "हिन्दी क्षत्रिय বাংলা e\u0301a\u0308",
    "ab\u00a0cd\u3000ef\u2028gh\u0085ij \u200b\ufeff", "½ ² ٣٤ Ⅷ ①②", "¿Qué? «non» “oui” …—‘x’", "\n", "\n\n \t \t\t\r\n  x", "''''''```````\"\"\"\"......!!!!!!??????",
    "(or) [a]{b}<c> _d_ -e- .f. ,g; h:i", "👩\u200d👩\u200d👧🏽 🇩🇪 ✈\ufe0f",
]


def byte_alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def learn(count):
    """Byte-pair encoding of whole texts."""
    alphabet = byte_alphabet()
    words = [[alphabet[b] for b in text.encode()] for text in TEXTS]
    tokens, merges = [alphabet[b] for b in range(256)], []
    for _ in range(count):
        pairs = collections.Counter(pair for word in words for pair in zip(word, word[1:]))
        pair = max(pairs, key=lambda p: (pairs[p], p), default=None)
        if pair is None:
            break
        merges.append(" ".join(pair))
        tokens.append("".join(pair))
        for word in words:
            for i in range(len(word) - 1, 0, -1):
                if (word[i - 1], word[i]) == pair:
                    word[i - 1:i + 1] = ["".join(pair)]
    return list(dict.fromkeys(tokens)), merges


def write(path, name, tokens, merges):
    writer = gguf.GGUFWriter(path, "gpt2")
    for key in ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"):
        writer.add_uint32(f"gpt2.{key}", 8)
    writer.add_float32("gpt2.attention.layer_norm_epsilon", 1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    tokens, merges = learn(400)
    groups = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = str(pathlib.Path(folder) / "vocab.gguf")
            write(path, name, tokens, merges)
            llama = llama_cpp.Llama(path, vocab_only=True, verbose=False)
            ids = json.dumps([llama.tokenize(text.encode(), add_bos=False) for text in TEXTS])
            groups.setdefault(ids, []).append(name)
    rows = ",\n".join(f'{{"names": {json.dumps(names)}, "ids": {ids}}}' for ids, names in groups.items())
    print(f'{{"tokens": {json.dumps(tokens)}, "merges": {json.dumps(merges)}, "texts": {json.dumps(TEXTS)},\n'
          f'"otherwise": {json.dumps(OTHERWISE)}, "groups": [\n{rows}\n]}}')


if __name__ == "__main__":
    main()
