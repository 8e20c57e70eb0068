#!/usr/bin/env python3
"""Writes a LLaMA-family model of a real size with random weights: for measuring speed, nothing else.

usage: write_model.py SHAPE FOLDER [--gguf f16,q8_0,q4_0]
FOLDER gets config.json and model.safetensors (bf16), and a GGUF file a type that llama.cpp reads, made from the
same weights by `gguf` from PyPI, with a vocabulary of numbered tokens. Needs numpy, safetensors, ml_dtypes, gguf.
"""
import argparse
import json
import pathlib

import gguf
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

VOCAB, CONTEXT, EPS, THETA = 32000, 8192, 1e-5, 10000.0
SHAPES = {  # width, ffn, layers, heads, kv heads, head dim
    "llama-160m": (768, 3072, 12, 12, 12, 64),
    "qwen-0.5b-like": (896, 4864, 24, 14, 2, 64),
    "tinyllama-1.1b": (2048, 5632, 22, 32, 4, 64),
}
MATRICES = [  # Hugging Face, GGUF, rows, columns
    ("self_attn.q_proj", "attn_q", "q", "width"), ("self_attn.k_proj", "attn_k", "kv", "width"),
    ("self_attn.v_proj", "attn_v", "kv", "width"), ("self_attn.o_proj", "attn_output", "width", "q"),
    ("mlp.gate_proj", "ffn_gate", "ffn", "width"), ("mlp.up_proj", "ffn_up", "ffn", "width"),
    ("mlp.down_proj", "ffn_down", "width", "ffn")]
NORMS = [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")]


def tensors(shape):
    """(Hugging Face name, GGUF name, values), from one seed."""
    width, ffn, layers, heads, kv_heads, head = SHAPES[shape]
    sizes = {"width": width, "ffn": ffn, "q": heads * head, "kv": kv_heads * head}
    random = np.random.default_rng(7)

    def matrix(rows, columns):
        return (0.02 * random.standard_normal((rows, columns), dtype=np.float32)).astype(ml_dtypes.bfloat16)

    ones = np.ones(width, ml_dtypes.bfloat16)
    yield "model.embed_tokens.weight", "token_embd.weight", matrix(VOCAB, width)
    yield "model.norm.weight", "output_norm.weight", ones
    yield "lm_head.weight", "output.weight", matrix(VOCAB, width)
    for layer in range(layers):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        for name, short, rows, columns in MATRICES:
            yield f"{theirs}{name}.weight", f"{ours}{short}.weight", matrix(sizes[rows], sizes[columns])
        for name, short in NORMS:
            yield f"{theirs}{name}.weight", f"{ours}{short}.weight", ones


def write_config(shape, folder):
    width, ffn, layers, heads, kv_heads, head = SHAPES[shape]
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width,
              "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "head_dim": head, "vocab_size": VOCAB,
              "max_position_embeddings": CONTEXT, "rms_norm_eps": EPS, "rope_theta": THETA,
              "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
              "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def write_gguf(shape, path, kind):
    width, ffn, layers, heads, kv_heads, head = SHAPES[shape]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_freq_base(THETA)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("llama")
    special = ["<unk>", "<s>", "</s>"]
    writer.add_token_list(special + [f"<{i}>" for i in range(VOCAB - len(special))])
    writer.add_token_scores([float(-i) for i in range(VOCAB)])
    writer.add_token_types([2, 3, 3] + [1] * (VOCAB - len(special)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    quantised = gguf.GGMLQuantizationType[kind.upper()]
    for _, name, values in tensors(shape):
        values = values.astype(np.float32)
        # llama.cpp's order of a rotated head's channels: pairs side by side.
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            count = values.shape[0] // head
            values = values.reshape(count, 2, head // 2, width).swapaxes(1, 2).reshape(values.shape)
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--gguf", default="")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    write_config(args.shape, args.folder)
    path = args.folder / "model.safetensors"
    if not path.exists():
        part = path.with_suffix(".part")
        save_file({name: values for name, _, values in tensors(args.shape)}, part, metadata={"format": "pt"})
        part.rename(path)
    for kind in filter(None, args.gguf.split(",")):
        path = args.folder / f"model-{kind}.gguf"
        if not path.exists():
            part = path.with_suffix(".part")
            write_gguf(args.shape, part, kind)
            part.rename(path)


if __name__ == "__main__":
    main()
