"""Small models of the mixtures of experts and of latent attention, with what transformers computes
with them in float32: logits and loss, greedy tokens, gradients, AdamW steps (docs/verify.md). Norms,
biases and the routers' corrections are away from their defaults.

    ./dev oracles torch_mixtures          compare with tests/fixtures/models
    ./dev oracles torch_mixtures --write [NAME...]
    ./dev oracles torch_mixtures --load DIR NAME   what Ashlar saved of NAME has the same logits
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

from counter_values import counter_ids, counter_values

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "models"
VOCAB, TOLERANCE = 96, 2e-5
STEPS, LR, BETAS, EPS, DECAY, CLIP = 4, 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0

COMMON = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
              num_experts_per_tok=3, max_position_embeddings=128, rms_norm_eps=1e-5,
              bos_token_id=1, eos_token_id=2, initializer_range=0.1)
QWEN = COMMON | dict(num_key_value_heads=2, intermediate_size=48, moe_intermediate_size=16,
                     num_experts=6)
LATENT = COMMON | dict(num_key_value_heads=4, intermediate_size=48, moe_intermediate_size=16,
                       n_routed_experts=8, kv_lora_rank=16, qk_nope_head_dim=8,
                       qk_rope_head_dim=8, v_head_dim=12)
YARN = dict(rope_type="yarn", factor=4.0, mscale=0.8, mscale_all_dim=1.2, beta_fast=16,
            beta_slow=1, original_max_position_embeddings=32, rope_theta=10000.0)
CASES = {
    "mixtral_window": ("mixtral", COMMON | dict(
        num_key_value_heads=1, head_dim=12, intermediate_size=24, num_local_experts=5,
        sliding_window=9, tie_word_embeddings=True, rope_parameters=dict(
            rope_type="default", rope_theta=500.0), output_router_logits=True,
        router_aux_loss_coef=0.03)),
    "qwen2_moe": ("qwen2_moe", QWEN | dict(
        shared_expert_intermediate_size=40, output_router_logits=True,
        router_aux_loss_coef=0.02)),
    "qwen2_moe_sparse": ("qwen2_moe", QWEN | dict(
        shared_expert_intermediate_size=24, num_hidden_layers=5, decoder_sparse_step=2,
        mlp_only_layers=[3], norm_topk_prob=True, qkv_bias=False, tie_word_embeddings=True,
        use_sliding_window=True, sliding_window=11, max_window_layers=4)),
    "qwen3_moe": ("qwen3_moe", QWEN | dict(
        head_dim=12, norm_topk_prob=True, output_router_logits=True, router_aux_loss_coef=0.05,
        mlp_only_layers=[0])),
    "qwen3_moe_plain": ("qwen3_moe", QWEN | dict(
        head_dim=8, attention_bias=True, num_hidden_layers=2, tie_word_embeddings=True,
        use_sliding_window=True, sliding_window=9)),
    "deepseek_v2": ("deepseek_v2", LATENT | dict(
        q_lora_rank=20, n_shared_experts=2, first_k_dense_replace=1,
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=4.0,
        rope_parameters=YARN)),
    "deepseek_v2_lite": ("deepseek_v2", LATENT | dict(
        q_lora_rank=None, n_shared_experts=1, topk_method="greedy", num_hidden_layers=2,
        attention_bias=True, mlp_bias=True)),
    "deepseek_v3": ("deepseek_v3", LATENT | dict(
        q_lora_rank=20, n_shared_experts=1, first_k_dense_replace=1, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, norm_topk_prob=True, rope_parameters=YARN)),
    "deepseek_v3_plain": ("deepseek_v3", LATENT | dict(
        q_lora_rank=None, n_shared_experts=2, first_k_dense_replace=0, n_group=1, topk_group=1,
        routed_scaling_factor=1.5, norm_topk_prob=False, rope_interleave=False,
        num_hidden_layers=2, attention_bias=True, tie_word_embeddings=True)),
}


def hub_tensors(model):
    """The model's tensors by the names that files have: experts one by one."""
    tensors = dict(model.named_parameters())
    tensors |= {n: b for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return in_files(model, by_expert(tensors))


def in_files(model, tensors):
    """Mixtral's files call them otherwise than transformers does."""
    if model.config.model_type != "mixtral":
        return tensors
    for new, old in ((".mlp.gate.", ".block_sparse_moe.gate."), (".mlp.experts.", ".block_sparse_moe.experts."),
                     (".gate_proj.", ".w1."), (".up_proj.", ".w3."), (".down_proj.", ".w2.")):
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    return tensors


def by_expert(tensors):
    named = {}
    for name, tensor in tensors.items():
        if name.endswith("experts.gate_up_proj"):
            for e in range(tensor.shape[0]):
                gate, up = tensor[e].chunk(2)
                base = name.removesuffix("gate_up_proj") + f"{e}."
                named |= {base + "gate_proj.weight": gate, base + "up_proj.weight": up}
        elif name.endswith("experts.down_proj"):
            for e in range(tensor.shape[0]):
                named[name.removesuffix("down_proj") + f"{e}.down_proj.weight"] = tensor[e]
        else:
            named[name] = tensor
    return named


def config_of(family, config):
    return transformers.AutoConfig.for_model(family, attn_implementation="eager", **config)


def build(name):
    family, config = CASES[name]
    model = transformers.AutoModelForCausalLM.from_config(config_of(family, config)).float().eval()
    with torch.no_grad():
        for tensor_name, tensor in hub_tensors(model).items():
            scale, offset = 0.25, 0.0
            if "norm" in tensor_name and tensor_name.endswith(".weight"):
                scale, offset = 0.4, 1.0
            elif tensor_name.endswith("gate.weight"):
                scale = 0.6
            values = counter_values(tensor_name, tuple(tensor.shape), scale, offset)
            tensor.copy_(torch.tensor(values))
    return model


def golden(model):
    coefficient = getattr(model.config, "router_aux_loss_coef", None)
    balanced = getattr(model.config, "output_router_logits", False) and coefficient is not None

    def forward(name, length):
        ids = torch.tensor(counter_ids(name, length, VOCAB))
        logits = model(ids[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], ids[1:])
        return dict(ids=ids.tolist(), mean_loss=loss.item(),
                    last_logits=[round(x, 6) for x in logits[-1].tolist()])

    def generate(name, length, new):
        for attempt in range(20):  # the first prompt without a choice that is nearly a tie
            prompt = torch.tensor(counter_ids(f"{name}{attempt}", length, VOCAB))
            ids = prompt.clone()
            for _ in range(new):
                ids = torch.cat((ids, model(ids[None]).logits[0, -1].argmax()[None]))
            best = model(ids[None]).logits[0, length - 1:-1].topk(2, dim=-1).values
            if (best[:, 0] - best[:, 1]).min().item() > 2e-3:
                return dict(prompt_ids=prompt.tolist(), greedy_ids=ids[length:].tolist())
        raise RuntimeError("every prompt leads to a tie")

    with torch.no_grad():
        found = dict(
            made_with=f"torch {torch.__version__.split('+')[0]}, "
                      f"transformers {transformers.__version__}, float32",
            forward=[forward("long", 60), forward("short", 5)],
            generate=[generate("prompt", 19, 24), generate("one", 1, 12)])

    inputs = torch.tensor(counter_ids("train", 2 * 33, VOCAB)).reshape(2, 33)
    targets = inputs[:, 1:].clone()
    targets[0, :4] = -100
    inputs = inputs[:, :-1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, eps=EPS,
                                  weight_decay=DECAY)
    steps = []
    for step in range(STEPS):
        optimizer.zero_grad()
        out = model(inputs, output_router_logits=balanced) if balanced else model(inputs)
        cross_entropy = torch.nn.functional.cross_entropy(
            out.logits.reshape(-1, VOCAB), targets.reshape(-1), ignore_index=-100)
        loss = cross_entropy + coefficient * out.aux_loss if balanced else cross_entropy
        loss.backward()
        if step == 0:
            train = dict(input_ids=inputs.tolist(), target_ids=targets.tolist(),
                         cross_entropy=cross_entropy.item())
            if balanced:
                train |= dict(aux_loss=out.aux_loss.item(), aux_coef=coefficient)
            grads = in_files(model, by_expert({n: p.grad for n, p in model.named_parameters()}))
            train["grad_norms"] = {n: g.norm().item() for n, g in grads.items()}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        steps.append([cross_entropy.item(), norm.item()])
        optimizer.step()
    train["adamw"] = dict(lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY, clip_norm=CLIP,
                          decay="all parameters", loss_and_grad_norm=steps)
    return found | dict(train=train)


def write(name, model, found):
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: t.detach().contiguous().clone() for n, t in hub_tensors(model).items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    model.config.save_pretrained(folder)
    (folder / "golden.json").write_text(json.dumps(found) + "\n")
    # What is written is what transformers reads.
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    ids = torch.tensor(found["forward"][0]["ids"])
    with torch.no_grad():
        last = again(ids[None]).logits[0, -1]
    assert (last - torch.tensor(found["forward"][0]["last_logits"])).abs().max() < TOLERANCE, name
    print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir())} bytes")


def flat(value):
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in flat(item)]
    return [value] if isinstance(value, (int, float)) else []


def difference(found, stored):
    a, b = flat(found), flat(stored)
    return max(abs(x - y) for x, y in zip(a, b)) if len(a) == len(b) else float("inf")


def load(folder, name):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32)
    worst = 0.0
    for item in json.loads((FOLDER / name / "golden.json").read_text())["forward"]:
        with torch.no_grad():
            last = model(torch.tensor(item["ids"])[None]).logits[0, -1]
        worst = max(worst, (last - torch.tensor(item["last_logits"])).abs().max().item())
    print(f"{name}: transformers reads {folder}, largest difference {worst:.1e}")
    return worst < TOLERANCE


def main():
    if "--load" in sys.argv:
        at = sys.argv.index("--load")
        return 0 if load(sys.argv[at + 1], sys.argv[at + 2]) else 1
    good = True
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(CASES)
    for name in names:
        model = build(name)
        if "--write" in sys.argv:
            stored = {n: t.detach().clone() for n, t in model.state_dict().items()}
            found = golden(model)
            model.load_state_dict(stored)  # as it was before its steps
            write(name, model, found)
            continue
        worst = difference(golden(model), json.loads((FOLDER / name / "golden.json").read_text()))
        good = good and worst < TOLERANCE
        print(f"{name}: largest difference {worst:.1e}", "ok" if worst < TOLERANCE else "DIFFERS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
