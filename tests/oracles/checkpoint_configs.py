"""Keys and values of the config.json of published checkpoints: what published_configs.py cuts down."""

HUB = dict(transformers_version="4.40.0", use_cache=True, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2)
LLAMA = HUB | dict(
    model_type="llama", architectures=["LlamaForCausalLM"], hidden_act="silu", hidden_size=4096,
    initializer_range=0.02, intermediate_size=14336, max_position_embeddings=8192, num_attention_heads=32,
    num_hidden_layers=32, num_key_value_heads=8, rms_norm_eps=1e-5, rope_scaling=None,
    rope_theta=500000.0, tie_word_embeddings=False, vocab_size=128256, attention_bias=False, attention_dropout=0.0)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192,
              rope_type="llama3")
MISTRAL = HUB | dict(
    model_type="mistral", architectures=["MistralForCausalLM"], hidden_act="silu", hidden_size=4096,
    initializer_range=0.02, intermediate_size=14336, max_position_embeddings=32768, num_attention_heads=32,
    num_hidden_layers=32, num_key_value_heads=8, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=4096,
    tie_word_embeddings=False, vocab_size=32000, attention_dropout=0.0)
QWEN2 = HUB | dict(
    model_type="qwen2", architectures=["Qwen2ForCausalLM"], attention_dropout=0.0, hidden_act="silu",
    hidden_size=3584, initializer_range=0.02, intermediate_size=18944, max_position_embeddings=131072,
    max_window_layers=28, num_attention_heads=28, num_hidden_layers=28, num_key_value_heads=4, rms_norm_eps=1e-6,
    rope_theta=1000000.0, sliding_window=131072, tie_word_embeddings=False, use_mrope=False,
    use_sliding_window=False, vocab_size=152064)
QWEN3 = {k: v for k, v in QWEN2.items() if k != "use_mrope"} | dict(
    model_type="qwen3", architectures=["Qwen3ForCausalLM"], attention_bias=False, head_dim=128,
    max_window_layers=36, num_attention_heads=32, num_key_value_heads=8, rope_scaling=None, sliding_window=None,
    max_position_embeddings=40960)
MOE = dict(decoder_sparse_step=1, norm_topk_prob=True, output_router_logits=False, router_aux_loss_coef=0.001)
PHI = HUB | dict(
    model_type="phi", architectures=["PhiForCausalLM"], attention_dropout=0.0, embd_pdrop=0.0,
    hidden_act="gelu_new", hidden_size=2560, initializer_range=0.02, intermediate_size=10240, layer_norm_eps=1e-5,
    max_position_embeddings=2048, num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=32,
    partial_rotary_factor=0.5, qk_layernorm=False, resid_pdrop=0.1, rope_scaling=None, rope_theta=10000.0,
    tie_word_embeddings=False, vocab_size=51200)
PHI3 = HUB | dict(
    model_type="phi3", architectures=["Phi3ForCausalLM"], _name_or_path="Phi-3-mini-128k-instruct",
    auto_map={"AutoConfig": "configuration_phi3.Phi3Config"}, attention_bias=False, attention_dropout=0.0,
    embd_pdrop=0.0, hidden_act="silu", hidden_size=3072, initializer_range=0.02, intermediate_size=8192,
    max_position_embeddings=131072, num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=32,
    original_max_position_embeddings=4096, pad_token_id=32000, resid_pdrop=0.0, rms_norm_eps=1e-5,
    rope_scaling=dict(long_factor=[1.07, 1.16, 1.19, 2.26], short_factor=[1.1, 1.1, 1.3, 1.45], type="longrope"),
    rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=False, vocab_size=32064)
GEMMA = HUB | dict(
    model_type="gemma", architectures=["GemmaForCausalLM"], attention_bias=False, attention_dropout=0.0,
    head_dim=256, hidden_act="gelu", hidden_size=2048, initializer_range=0.02, intermediate_size=16384,
    max_position_embeddings=8192, num_attention_heads=8, num_hidden_layers=18, num_key_value_heads=1,
    pad_token_id=0, rms_norm_eps=1e-6, rope_scaling=None, rope_theta=10000.0, vocab_size=256000)
GEMMA2 = GEMMA | dict(
    model_type="gemma2", architectures=["Gemma2ForCausalLM"], attn_logit_softcapping=50.0,
    cache_implementation="hybrid", final_logit_softcapping=30.0, hidden_act="gelu_pytorch_tanh",
    hidden_activation="gelu_pytorch_tanh", num_attention_heads=16, num_hidden_layers=42, num_key_value_heads=8,
    query_pre_attn_scalar=256, sliding_window=4096, sliding_window_size=4096)
GEMMA3 = {k: v for k, v in GEMMA.items() if k != "hidden_act"} | dict(
    model_type="gemma3_text", architectures=["Gemma3ForCausalLM"], attn_logit_softcapping=None,
    cache_implementation="hybrid", eos_token_id=[1, 106], final_logit_softcapping=None,
    hidden_activation="gelu_pytorch_tanh", num_attention_heads=4, num_hidden_layers=26, query_pre_attn_scalar=256,
    rope_local_base_freq=10000, rope_theta=1000000, sliding_window=512, sliding_window_pattern=6,
    max_position_embeddings=32768)
DEEPSEEK = HUB | dict(
    model_type="deepseek_v2", architectures=["DeepseekV2ForCausalLM"], attention_bias=False, attention_dropout=0.0,
    auto_map={"AutoConfig": "configuration_deepseek.DeepseekV2Config"}, aux_loss_alpha=0.001,
    first_k_dense_replace=1, hidden_act="silu", hidden_size=2048, initializer_range=0.02, intermediate_size=10944,
    kv_lora_rank=512, max_position_embeddings=163840, moe_intermediate_size=1408, moe_layer_freq=1, n_group=1,
    n_routed_experts=64, n_shared_experts=2, norm_topk_prob=False, num_attention_heads=16, num_experts_per_tok=6,
    num_hidden_layers=27, num_key_value_heads=16, pretraining_tp=1, q_lora_rank=None, qk_nope_head_dim=128,
    qk_rope_head_dim=64, rms_norm_eps=1e-6,
    rope_scaling=dict(beta_fast=32, beta_slow=1, factor=40, mscale=0.707, mscale_all_dim=0.707,
                      original_max_position_embeddings=4096, type="yarn"),
    rope_theta=10000, routed_scaling_factor=1.0, scoring_func="softmax", seq_aux=True, tie_word_embeddings=False,
    topk_group=1, topk_method="greedy", v_head_dim=128, vocab_size=102400)
FALCON = dict(
    model_type="falcon", architectures=["FalconForCausalLM"], alibi=False, bias=False, bos_token_id=11,
    apply_residual_connection_post_layernorm=False, attention_dropout=0.0, eos_token_id=11, hidden_dropout=0.0,
    hidden_size=4544, initializer_range=0.02, layer_norm_epsilon=1e-5, multi_query=True,
    new_decoder_architecture=False, num_attention_heads=71, num_hidden_layers=32, parallel_attn=True,
    torch_dtype="bfloat16", transformers_version="4.27.4", use_cache=True, vocab_size=65024)
OPT = HUB | dict(
    model_type="opt", architectures=["OPTForCausalLM"], _remove_final_layer_norm=False, activation_dropout=0.0,
    activation_function="relu", attention_dropout=0.0, do_layer_norm_before=True, dropout=0.1, ffn_dim=3072,
    hidden_size=768, init_std=0.02, layerdrop=0.0, max_position_embeddings=2048, num_attention_heads=12,
    num_hidden_layers=12, pad_token_id=1, prefix="</s>", vocab_size=50272, word_embed_proj_dim=768)
GPT2 = HUB | dict(
    model_type="gpt2", architectures=["GPT2LMHeadModel"], activation_function="gelu_new", attn_pdrop=0.1,
    embd_pdrop=0.1, initializer_range=0.02, layer_norm_epsilon=1e-5, n_ctx=1024, n_embd=768, n_head=12, n_layer=12,
    n_positions=1024, resid_pdrop=0.1, summary_activation=None, summary_first_dropout=0.1,
    summary_proj_to_labels=True, summary_type="cls_index", summary_use_proj=True,
    task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}}, vocab_size=50257)
GPTJ = {k: v for k, v in GPT2.items() if k != "n_ctx"} | dict(
    model_type="gptj", architectures=["GPTJForCausalLM"], gradient_checkpointing=False, n_inner=None, rotary=True,
    rotary_dim=64, scale_attn_weights=True, tie_word_embeddings=False, tokenizer_class="GPT2Tokenizer",
    n_positions=2048, vocab_size=50400)
NEOX = HUB | dict(
    model_type="gpt_neox", architectures=["GPTNeoXForCausalLM"], hidden_act="gelu", hidden_size=1024,
    initializer_range=0.02, intermediate_size=4096, layer_norm_eps=1e-5, max_position_embeddings=2048,
    num_attention_heads=16, num_hidden_layers=24, rotary_emb_base=10000, rotary_pct=0.25,
    tie_word_embeddings=False, use_parallel_residual=True, vocab_size=50304)
STABLELM = HUB | dict(
    model_type="stablelm", architectures=["StableLmForCausalLM"], attention_dropout=0.0, hidden_act="silu",
    hidden_dropout=0.0, hidden_size=2048, initializer_range=0.02, intermediate_size=5632, layer_norm_eps=1e-5,
    max_position_embeddings=4096, num_attention_heads=32, num_hidden_layers=24, num_key_value_heads=32,
    partial_rotary_factor=0.25, qk_layernorm=False, rope_scaling=None, rope_theta=10000, tie_word_embeddings=False,
    use_parallel_residual=False, use_qkv_bias=True, vocab_size=100352)
BERT = dict(
    model_type="bert", architectures=["BertForMaskedLM"], attention_probs_dropout_prob=0.1,
    classifier_dropout=None, gradient_checkpointing=False, hidden_act="gelu", hidden_dropout_prob=0.1,
    hidden_size=768, initializer_range=0.02, intermediate_size=3072, layer_norm_eps=1e-12,
    max_position_embeddings=512, num_attention_heads=12, num_hidden_layers=12, pad_token_id=0,
    position_embedding_type="absolute", transformers_version="4.6.0.dev0", type_vocab_size=2, use_cache=True,
    vocab_size=30522)

CONFIGS = {
    "Llama-2-7b": LLAMA | dict(num_key_value_heads=32, max_position_embeddings=4096, rope_theta=10000.0),
    "Llama-3-8B": LLAMA | dict(pretraining_tp=1),
    "Llama-3.1-8B-Instruct": LLAMA | dict(rope_scaling=LLAMA3, mlp_bias=False, eos_token_id=[128001, 128008],
                                          max_position_embeddings=131072),
    "Llama-3.2-1B": LLAMA | dict(rope_scaling=LLAMA3 | dict(factor=32.0), head_dim=64, tie_word_embeddings=True),
    "SmolLM2-135M": LLAMA | dict(is_llama_config=True, rope_interleaved=False, rope_theta=100000, mlp_bias=False,
                                 num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, **{
                                     "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}}),
    "deepseek-coder-6.7b": LLAMA | dict(rope_scaling=dict(type="linear", factor=4.0), num_key_value_heads=32),
    "Yi-1.5-9B": LLAMA | dict(pad_token_id=0, rope_theta=5000000.0, num_key_value_heads=4),
    "Mistral-7B-v0.1": MISTRAL,
    "Mistral-7B-v0.3": MISTRAL | dict(sliding_window=None, rope_theta=1000000.0, vocab_size=32768),
    "Mistral-Nemo": MISTRAL | dict(head_dim=128, sliding_window=None, max_position_embeddings=131072),
    "Mixtral-8x7B": MISTRAL | dict(model_type="mixtral", architectures=["MixtralForCausalLM"],
                                   num_local_experts=8, num_experts_per_tok=2, output_router_logits=False,
                                   router_aux_loss_coef=0.02, sliding_window=None, rope_theta=1000000.0),
    "granite-3.1-2b": LLAMA | dict(model_type="granite", architectures=["GraniteForCausalLM"], mlp_bias=False,
                                   attention_multiplier=0.015625, embedding_multiplier=12.0, logits_scaling=8.0,
                                   residual_multiplier=0.22, tie_word_embeddings=True, pad_token_id=0),
    "c4ai-command-r-v01": HUB | dict(
        model_type="cohere", architectures=["CohereForCausalLM"], attention_bias=False, attention_dropout=0.0,
        hidden_act="silu", hidden_size=8192, initializer_range=0.02, intermediate_size=22528, layer_norm_eps=1e-5,
        logit_scale=0.0625, max_position_embeddings=8192, model_max_length=131072, num_attention_heads=64,
        num_hidden_layers=40, num_key_value_heads=64, pad_token_id=0, pretraining_tp=1, rope_theta=8000000.0,
        tie_word_embeddings=True, vocab_size=256000),
    "c4ai-command-r-plus": HUB | dict(
        model_type="cohere", architectures=["CohereForCausalLM"], attention_bias=False, attention_dropout=0.0,
        hidden_act="silu", hidden_size=12288, initializer_range=0.02, intermediate_size=33792,
        layer_norm_eps=1e-5, logit_scale=0.8333333333333334, max_position_embeddings=8192, pad_token_id=0,
        model_max_length=131072, num_attention_heads=96, num_hidden_layers=64, num_key_value_heads=8,
        rope_theta=75000000.0, use_qk_norm=True, vocab_size=256000),
    "OLMo-2-1124-7B": LLAMA | dict(model_type="olmo2", architectures=["Olmo2ForCausalLM"], rms_norm_eps=1e-6,
                                   num_key_value_heads=32, pad_token_id=100277),
    "Qwen2.5-7B-Instruct": QWEN2,
    "Qwen2.5-7B-yarn": QWEN2 | dict(rope_scaling=dict(factor=4.0, type="yarn",
                                                      original_max_position_embeddings=32768)),
    "Qwen2-0.5B": QWEN2 | dict(tie_word_embeddings=True, sliding_window=32768, max_window_layers=24),
    "Qwen3-8B": QWEN3,
    "Qwen3-0.6B": QWEN3 | dict(tie_word_embeddings=True, num_attention_heads=16),
    "Qwen3-30B-A3B": QWEN3 | MOE | dict(
        model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], mlp_only_layers=[], num_experts=128,
        moe_intermediate_size=768, num_experts_per_tok=8, head_dim=128, num_key_value_heads=4),
    "Qwen1.5-MoE-A2.7B": QWEN2 | MOE | dict(
        model_type="qwen2_moe", architectures=["Qwen2MoeForCausalLM"], norm_topk_prob=False, num_experts=60,
        moe_intermediate_size=1408, num_experts_per_tok=4, shared_expert_intermediate_size=5632,
        sliding_window=32768, max_window_layers=21, num_attention_heads=16, num_key_value_heads=16),
    "phi-1_5": PHI | dict(torch_dtype="float16"),
    "phi-2": PHI | dict(partial_rotary_factor=0.5, num_key_value_heads=32),
    "Phi-3-mini-4k": PHI3 | dict(rope_scaling=None, max_position_embeddings=4096, sliding_window=2047),
    "Phi-3-mini-128k": PHI3,
    "Phi-3.5-mini": PHI3 | dict(eos_token_id=32000, torch_dtype="bfloat16"),
    "phi-4": PHI3 | dict(rope_scaling=None, rope_theta=250000, sliding_window=None, num_attention_heads=40,
                         num_key_value_heads=10, max_position_embeddings=16384,
                         original_max_position_embeddings=16384),
    "Phi-4-mini-instruct": PHI3 | dict(
        full_attn_mod=1, interpolate_factor=1, lm_head_bias=False, mlp_bias=False, partial_rotary_factor=0.75,
        tie_word_embeddings=True, num_attention_heads=24, num_key_value_heads=8,
        rope_scaling=PHI3["rope_scaling"] | dict(long_factor=[1, 1.1, 2.3], short_factor=[1.0, 1.0, 1.0])),
    "gemma-2b": GEMMA,
    "gemma-7b": GEMMA | dict(hidden_activation=None, hidden_act="gelu_pytorch_tanh", num_key_value_heads=16,
                             num_attention_heads=16),
    "gemma-1.1-2b-it": GEMMA | dict(hidden_activation="gelu_pytorch_tanh", hidden_act="gelu_pytorch_tanh"),
    "gemma-2-9b": GEMMA2,
    "gemma-2-27b": GEMMA2 | dict(query_pre_attn_scalar=144, head_dim=128, use_cache=True),
    "gemma-3-1b": GEMMA3,
    "gemma-3-4b (its text)": GEMMA3 | dict(rope_scaling=dict(factor=8.0, rope_type="linear"), sliding_window=1024,
                                           num_attention_heads=8, num_key_value_heads=4),
    "gemma-3-270m": {k: v for k, v in GEMMA3.items() if k not in ("sliding_window_pattern", "cache_implementation")}
    | dict(_sliding_window_pattern=6, layer_types=["sliding_attention"] * 5 + ["full_attention"],
           use_bidirectional_attention=False),
    "DeepSeek-V2-Lite": DEEPSEEK,
    "DeepSeek-V2": DEEPSEEK | dict(
        n_group=8, topk_group=3, topk_method="group_limited_greedy", q_lora_rank=1536, routed_scaling_factor=16.0,
        num_attention_heads=128, num_key_value_heads=128, n_routed_experts=160),
    "DeepSeek-V3 (of bf16)": DEEPSEEK | dict(
        model_type="deepseek_v3", architectures=["DeepseekV3ForCausalLM"], ep_size=1, n_group=8, topk_group=4,
        n_shared_experts=1, num_nextn_predict_layers=1, norm_topk_prob=True, q_lora_rank=1536,
        routed_scaling_factor=2.5, scoring_func="sigmoid", topk_method="noaux_tc", n_routed_experts=256,
        first_k_dense_replace=3, rope_scaling=DEEPSEEK["rope_scaling"] | dict(mscale=1.0, mscale_all_dim=1.0)),
    "falcon-7b": FALCON,
    "falcon-40b": FALCON | dict(new_decoder_architecture=True, num_kv_heads=8, num_attention_heads=128,
                                hidden_size=8192),
    "falcon-rw-1b": FALCON | dict(alibi=True, bias=True, multi_query=False, parallel_attn=False,
                                  num_attention_heads=32, hidden_size=2048),
    "falcon-11B": FALCON | dict(
        activation="gelu", ff_factor=4, ffn_hidden_size=16384, max_position_embeddings=8192, new_decoder_architecture=True,
        num_kv_heads=8, num_attention_heads=32, num_ln_in_parallel_attn=None, rope_scaling=None,
        rope_theta=500042.0, tie_word_embeddings=False),
    "bloom-560m": HUB | dict(
        model_type="bloom", architectures=["BloomForCausalLM"], apply_residual_connection_post_layernorm=False,
        attention_dropout=0.0, attention_softmax_in_fp32=True, bias_dropout_fusion=True, hidden_dropout=0.0,
        initializer_range=0.02, layer_norm_epsilon=1e-5, masked_softmax_fusion=True, n_embed=1024, n_inner=None,
        n_layer=24, num_attention_heads=16, offset_alibi=100, pad_token_id=3, pretraining_tp=1, seq_length=2048,
        skip_bias_add=True, skip_bias_add_qkv=False, slow_but_exact=False, unk_token_id=0, vocab_size=250880),
    "opt-125m": OPT,
    "opt-350m": OPT | dict(do_layer_norm_before=False, word_embed_proj_dim=512, hidden_size=1024),
    "galactica-125m": OPT | dict(activation_function="gelu", enable_bias=True, layer_norm_elementwise_affine=True),
    "gpt2": GPT2,
    "distilgpt2": GPT2 | dict(_num_labels=1, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}),
    "gpt-j-6b": GPTJ,
    "pythia-410m": NEOX,
    "gpt-neox-20b": NEOX | dict(attention_probs_dropout_prob=0, hidden_dropout_prob=0, hidden_act="gelu_fast"),
    "pythia-70m-deduped": NEOX | dict(attention_bias=True, attention_dropout=0.0, classifier_dropout=0.1,
                                      hidden_dropout=0.0, rope_scaling=None),
    "stablelm-2-1_6b": STABLELM,
    "stablelm-2-12b": STABLELM | dict(qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=False,
                                      num_key_value_heads=8),
    "starcoder2-3b": HUB | dict(
        model_type="starcoder2", architectures=["Starcoder2ForCausalLM"], activation_function="gelu",
        attention_dropout=0.1, attention_softmax_in_fp32=True, embedding_dropout=0.1,
        hidden_act="gelu_pytorch_tanh", hidden_size=3072, initializer_range=0.018, intermediate_size=12288,
        layer_norm_epsilon=1e-5, max_position_embeddings=16384, mlp_type="default", norm_epsilon=1e-5,
        norm_type="layer_norm", num_attention_heads=24, num_hidden_layers=30, num_key_value_heads=2,
        residual_dropout=0.1, rope_theta=999999.4420358813, scale_attention_softmax_in_fp32=True,
        scale_attn_weights=True, sliding_window=4096, use_bias=True, vocab_size=49152),
    "bert-base-uncased": BERT,
    "all-MiniLM-L6-v2": BERT | dict(_name_or_path="nreimers/MiniLM-L6-H384-uncased", hidden_size=384),
    "bge-base-en": BERT | dict(id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, torch_dtype="float32"),
    "roberta-base": BERT | dict(model_type="roberta", architectures=["RobertaForMaskedLM"], bos_token_id=0,
                                eos_token_id=2, layer_norm_eps=1e-5, pad_token_id=1, type_vocab_size=1,
                                max_position_embeddings=514),
    "xlm-roberta-base": BERT | dict(model_type="xlm-roberta", architectures=["XLMRobertaForMaskedLM"],
                                    bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5, pad_token_id=1,
                                    output_past=True, type_vocab_size=1, max_position_embeddings=514),
    "ModernBERT-base": dict(
        model_type="modernbert", architectures=["ModernBertForMaskedLM"], attention_bias=False,
        attention_dropout=0.0, bos_token_id=50281, classifier_activation="gelu", classifier_bias=False,
        classifier_dropout=0.0, classifier_pooling="mean", cls_token_id=50281, decoder_bias=True,
        deterministic_flash_attn=False, embedding_dropout=0.0, eos_token_id=50282, global_attn_every_n_layers=3,
        global_rope_theta=160000.0, gradient_checkpointing=False, hidden_activation="gelu", hidden_size=768,
        initializer_cutoff_factor=2.0, initializer_range=0.02, intermediate_size=1152, layer_norm_eps=1e-5,
        local_attention=128, local_rope_theta=10000.0, max_position_embeddings=8192, mlp_bias=False,
        mlp_dropout=0.0, norm_bias=False, norm_eps=1e-5, num_attention_heads=12, num_hidden_layers=22,
        pad_token_id=50283, position_embedding_type="absolute", repad_logits_with_grad=False, sep_token_id=50282,
        sparse_pred_ignore_index=-100, sparse_prediction=False, tie_word_embeddings=True, torch_dtype="float32",
        transformers_version="4.47.0.dev0", vocab_size=50368),
}
