"""What transformers computes in float32 for two or more small models of every family of decoders:
logits, losses, greedy text, gradients and steps of AdamW, in the form of golden.json (docs/verify.md).
Weights are counter_values of their tensors' names, so a model is its config.json here;
tests/models/family_models.cc makes the same ones.

    ./dev oracles torch_families        compare with tests/fixtures/families
    ./dev oracles torch_families --write
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers

from counter_values import counter_ids, counter_values

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "families"
VOCAB, TOLERANCE = 96, 2e-5  # of float32 on another machine
LR, BETAS, EPS, DECAY, CLIP, STEPS = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0, 3

SIZES = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=48, max_position_embeddings=64)
GROUPED = SIZES | dict(num_key_value_heads=2)
GPT = dict(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0,
           embd_pdrop=0.0, attn_pdrop=0.0)
OPT = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
           max_position_embeddings=64, dropout=0.0)
FALCON = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
              max_position_embeddings=64)
BLOOM = dict(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)

# "saved": config.json is what this version of transformers writes, rather than the keys given here
# alone, which are those of older files and leave the rest to defaults.
CASES = {
    "gpt2_by_layer": dict(model_type="gpt2", scale_attn_by_inverse_layer_idx=True, n_inner=80,
                          activation_function="relu", reorder_and_upcast_attn=True,
                          **GPT | dict(n_layer=3)),
    "gpt2_unscaled": dict(model_type="gpt2", scale_attn_weights=False, tie_word_embeddings=False,
                          activation_function="quick_gelu", saved=True, **GPT),
    "llama_dynamic": dict(model_type="llama", attention_bias=True, mlp_bias=True,
                          rope_scaling=dict(type="dynamic", factor=2.0), **GROUPED),
    "llama_yarn": dict(model_type="llama", head_dim=16, tie_word_embeddings=True, hidden_act="relu2",
                       rope_scaling=YARN, saved=True, **SIZES),
    "mistral_wide": dict(model_type="mistral", head_dim=12, **GROUPED),
    "mistral_window": dict(model_type="mistral", sliding_window=7, hidden_act="tanh", saved=True,
                           rope_scaling=YARN | dict(mscale=0.7, mscale_all_dim=0.4, beta_fast=4.0,
                                                    beta_slow=2.0, truncate=False), **GROUPED),
    "qwen2_window": dict(model_type="qwen2", use_sliding_window=True, sliding_window=6,
                         max_window_layers=1, tie_word_embeddings=True,
                         **GROUPED | dict(num_hidden_layers=3)),
    "qwen2_types": dict(model_type="qwen2", use_sliding_window=True, sliding_window=5, saved=True,
                        layer_types=["sliding_attention", "full_attention"], **GROUPED),
    "qwen3_biased": dict(model_type="qwen3", attention_bias=True, head_dim=12, rope_theta=1e6,
                         rope_scaling=YARN, **GROUPED),
    "qwen3_saved": dict(model_type="qwen3", head_dim=16, tie_word_embeddings=True, saved=True,
                        hidden_act="gelu_new", **GROUPED),
    "phi3_partial": dict(model_type="phi3", partial_rotary_factor=0.5, sliding_window=9,
                         pad_token_id=95, **GROUPED),
    "phi3_saved": dict(model_type="phi3", tie_word_embeddings=True, saved=True, pad_token_id=95,
                       **SIZES),
    # 41 and 32 tokens take the long factors, 7 the short ones.
    "phi3_long": dict(model_type="phi3", original_max_position_embeddings=16, pad_token_id=95,
                      rope_scaling=dict(type="longrope", short_factor=[1.0, 1.1, 1.2, 1.3],
                                        long_factor=[1.5, 2.0, 3.0, 4.0]), **GROUPED),
    "stablelm_norms": dict(model_type="stablelm", qk_layernorm=True, use_qkv_bias=True, **GROUPED),
    "stablelm_parallel": dict(model_type="stablelm", use_parallel_residual=True, saved=True,
                              partial_rotary_factor=0.5, tie_word_embeddings=True,
                              **SIZES | dict(num_key_value_heads=4)),
    "starcoder2_default": dict(model_type="starcoder2", **SIZES),
    "starcoder2_window": dict(model_type="starcoder2", use_bias=False, sliding_window=8, saved=True,
                              tie_word_embeddings=False, hidden_act="sigmoid", **GROUPED),
    "granite_scaled": dict(model_type="granite", embedding_multiplier=3.0, residual_multiplier=0.3,
                           attention_multiplier=0.2, logits_scaling=7.0, **GROUPED),
    "granite_biased": dict(model_type="granite", attention_bias=True, mlp_bias=True, saved=True,
                           residual_multiplier=0.5, tie_word_embeddings=True, **SIZES),
    "cohere_norms": dict(model_type="cohere", use_qk_norm=True, rope_theta=8e6, pad_token_id=95,
                         **GROUPED),
    "cohere_biased": dict(model_type="cohere", attention_bias=True, logit_scale=0.3, saved=True,
                          pad_token_id=95, tie_word_embeddings=False, **SIZES),
    "olmo2_grouped": dict(model_type="olmo2", rope_theta=5e5, pad_token_id=95, **GROUPED),
    "olmo2_biased": dict(model_type="olmo2", attention_bias=True, tie_word_embeddings=True,
                         pad_token_id=95, saved=True, **SIZES),
    "gemma_one_head": dict(model_type="gemma", head_dim=16, hidden_act="gelu", pad_token_id=95,
                           **SIZES | dict(num_key_value_heads=1)),
    "gemma_biased": dict(model_type="gemma", head_dim=8, attention_bias=True, saved=True,
                         pad_token_id=95, **SIZES | dict(num_key_value_heads=4)),
    "gemma2_capped": dict(model_type="gemma2", head_dim=16, sliding_window=6, pad_token_id=95,
                          query_pre_attn_scalar=20, attn_logit_softcapping=5.0,
                          final_logit_softcapping=4.0, **GROUPED | dict(num_hidden_layers=3)),
    "gemma2_plain": dict(model_type="gemma2", head_dim=8, sliding_window=9, pad_token_id=95,
                         query_pre_attn_scalar=8, attn_logit_softcapping=None, saved=True,
                         final_logit_softcapping=None, **GROUPED),
    "gemma3_pattern": dict(model_type="gemma3_text", head_dim=16, sliding_window=6, pad_token_id=95,
                           sliding_window_pattern=2, query_pre_attn_scalar=16, rope_theta=20000.0,
                           rope_local_base_freq=500.0,
                           rope_scaling=dict(rope_type="linear", factor=4.0),
                           **GROUPED | dict(num_hidden_layers=3)),
    "gemma3_types": dict(model_type="gemma3_text", head_dim=8, sliding_window=5, pad_token_id=95,
                         final_logit_softcapping=3.0, query_pre_attn_scalar=12, saved=True,
                         layer_types=["full_attention", "sliding_attention"], **GROUPED),
    "phi_norms": dict(model_type="phi", qk_layernorm=True, **GROUPED),
    "phi_saved": dict(model_type="phi", partial_rotary_factor=0.25, saved=True, rope_theta=500.0,
                      hidden_act="gelu", **SIZES),
    "gptj_partial": dict(model_type="gptj", rotary_dim=4, n_inner=40, **GPT),
    "gptj_saved": dict(model_type="gptj", rotary_dim=8, activation_function="relu", saved=True,
                       **GPT),
    "gpt_neox_parallel": dict(model_type="gpt_neox", **SIZES),
    "gpt_neox_in_turn": dict(model_type="gpt_neox", use_parallel_residual=False, rotary_pct=1.0,
                             rotary_emb_base=500, attention_bias=False, hidden_act="gelu_fast",
                             saved=True, **SIZES),
    "opt_default": dict(model_type="opt", **OPT),
    "opt_stream": dict(model_type="opt", do_layer_norm_before=False, word_embed_proj_dim=16,
                       activation_function="gelu", saved=True, **OPT),
    "opt_bare": dict(model_type="opt", enable_bias=False, layer_norm_elementwise_affine=False,
                     _remove_final_layer_norm=True, tie_word_embeddings=False, **OPT),
    "bloom_default": dict(model_type="bloom", **BLOOM),
    "bloom_from_norm": dict(model_type="bloom", apply_residual_connection_post_layernorm=True,
                            saved=True, **BLOOM | dict(hidden_size=48, n_head=6, n_layer=3)),
    "falcon_one_head": dict(model_type="falcon", **FALCON),
    "falcon_second": dict(model_type="falcon", new_decoder_architecture=True, num_kv_heads=2,
                          bias=True, saved=True, **FALCON),
    "falcon_one_norm": dict(model_type="falcon", new_decoder_architecture=True, num_kv_heads=2,
                            num_ln_in_parallel_attn=1, ffn_hidden_size=40, rope_theta=500.0,
                            **FALCON),
    "falcon_alibi": dict(model_type="falcon", alibi=True, multi_query=False, parallel_attn=False,
                         bias=True, tie_word_embeddings=False, saved=True, **FALCON),
}


def value_range(name, zero_centred):
    """Scale and offset of a tensor's counter_values: norms and biases away from their defaults."""
    if "norm" in name or "ln_" in name:
        centre = 0.0 if zero_centred or name.endswith(".bias") else 1.0
        return 0.5, centre
    return 0.3, 0.0


def file_names(model):
    """Parameters by their names in files; of one, transformers 5 has another in memory."""
    neox = model.config.model_type == "gpt_neox"
    return {n.replace("lm_head", "embed_out") if neox else n: p
            for n, p in model.named_parameters()}


def build(case):
    case = {k: v for k, v in case.items() if k != "saved"}
    kind = case.pop("model_type")
    # In eager mode, Falcon adds ALiBi twice.
    attention = "sdpa" if kind == "falcon" else "eager"
    config = transformers.AutoConfig.for_model(kind, attn_implementation=attention, **case)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    for name, p in file_names(model).items():
        scale, offset = value_range(name, kind.startswith("gemma"))
        p.data = torch.tensor(counter_values(name, tuple(p.shape), scale, offset))
    model.tie_weights()
    return model


def config_text(case, model):
    if not case.get("saved"):
        given = {k: v for k, v in case.items() if k != "saved"}
        return {"architectures": [type(model).__name__]} | given
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        saved = json.loads((pathlib.Path(folder) / "config.json").read_text())
    saved["architectures"] = [type(model).__name__]
    return saved


def ids_of(name, n):
    """Without the first ids and the last, which some models pad with."""
    return (counter_ids(name, n, VOCAB - 4) + 2).tolist()


def rounded(values):
    return [float(f"{x:.7g}") for x in values]


def forward(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double()


def golden(model):
    result = {"made_with": f"torch {torch.__version__.split('+')[0]}, "
                           f"transformers {transformers.__version__}, float32",
              "forward": [], "generate": []}
    for name, length in (("first", 41), ("second", 7)):
        ids = ids_of(name, length)
        logits = forward(model, ids)
        loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
        result["forward"].append({"ids": ids, "last_logits": rounded(logits[-1].tolist()),
                                  "mean_loss": loss.item()})
    rope = getattr(model.config, "rope_parameters", None) or {}
    # One text that becomes long on the way.
    for length in (20, 12) if rope.get("rope_type") == "longrope" else (20,):
        prompt = ids_of("prompt", length)
        text = list(prompt)
        for _ in range(12):
            text.append(int(forward(model, text)[-1].argmax()))
        result["generate"].append({"prompt_ids": prompt, "greedy_ids": text[len(prompt):]})
    result["train"] = train(model)
    return result


def train(model):
    rows = torch.tensor([ids_of("row 0", 25), ids_of("row 1", 25)])
    inputs, targets = rows[:, :-1], rows[:, 1:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, eps=EPS,
                                  weight_decay=DECAY)
    steps, norms = [], {}
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        if step == 0:
            norms = {n: float(f"{p.grad.norm().item():.7g}") for n, p in file_names(model).items()
                     if p.grad is not None}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        steps.append([loss.item(), norm.item()])
        optimizer.step()
    return {"input_ids": inputs.tolist(), "target_ids": targets.tolist(),
            "cross_entropy": steps[0][0], "grad_norms": norms,
            "adamw": {"lr": LR, "betas": BETAS, "eps": EPS, "weight_decay": DECAY,
                      "clip_norm": CLIP, "loss_and_grad_norm": steps}}


def difference(found, stored):
    """The largest relative difference of numbers in two documents alike in all else."""
    if isinstance(stored, dict):
        assert found.keys() == stored.keys(), (found.keys(), stored.keys())
        return max((difference(found[k], stored[k]) for k in stored if k != "made_with"), default=0)
    if isinstance(stored, list):
        assert len(found) == len(stored)
        return max((difference(a, b) for a, b in zip(found, stored)), default=0)
    if isinstance(stored, float) and isinstance(found, (int, float)):
        return abs(found - stored) / max(1.0, abs(stored))
    assert found == stored, (found, stored)
    return 0


def main():
    write = "--write" in sys.argv
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(CASES)
    worst = 0
    for name in names:
        torch.manual_seed(0)
        model = build(CASES[name])
        config = config_text(CASES[name], model)
        found = golden(model)
        folder = FOLDER / name
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
            (folder / "golden.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
            continue
        stored = json.loads((folder / "golden.json").read_text())
        apart = difference(found, stored)
        print(f"{name}: {apart:.1e}")
        worst = max(worst, apart)
    if worst > TOLERANCE:
        sys.exit(f"torch_families: {worst:.1e} apart, {TOLERANCE} allowed")


if __name__ == "__main__":
    main()
