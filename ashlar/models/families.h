// The families there are; family.cc holds the table.
#pragma once

#include "ashlar/models/family.h"

namespace ashlar::models {

Family bert_family();
Family bloom_family();
Family cohere_family();
Family deepseek_v2_family();
Family deepseek_v3_family();
Family falcon_family();
Family gemma_family();
Family gemma2_family();
Family gemma3_family();
Family gpt2_family();
Family gpt_neox_family();
Family gptj_family();
Family granite_family();
Family llama_family();
Family mistral_family();
Family mixtral_family();
Family modernbert_family();
Family nomic_bert_family();
Family olmo2_family();
Family opt_family();
Family phi_family();
Family phi3_family();
Family qwen2_family();
Family qwen2_moe_family();
Family qwen3_family();
Family qwen3_moe_family();
Family roberta_family();
Family stablelm_family();
Family starcoder2_family();
Family xlm_roberta_family();

}  // namespace ashlar::models
