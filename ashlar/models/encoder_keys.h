// What the files of encoders have in common.
#pragma once

#include "ashlar/models/family.h"

#include <string>
#include <vector>

namespace ashlar::models {

// As BERT is: norms behind each sum and the embedding, biases, a plain MLP, learned positions; with
// a head for masked tokens that shares the embedding.
DecoderConfig blank_encoder();

// vocab_size, hidden_size, num_hidden_layers, num_attention_heads, head_dim, intermediate_size,
// tie_word_embeddings, initializer_range, dtype and tokens that open and close a text.
void read_encoder_sizes(HfConfig& keys, DecoderConfig& config);
// The same as a JSON object, but for what write_config() adds for every family.
std::string write_encoder_sizes(const DecoderConfig& config);

// hidden_dropout_prob and attention_probs_dropout_prob.
void read_bert_dropout(HfConfig& keys, double fallback, DecoderConfig& config);

// A rule for theirs.weight, and one for theirs.bias where there is a bias.
void add_rules(std::vector<WeightRule>& rules, const std::string& theirs,
               const std::vector<std::string>& ours, bool bias);

// What a head for masked tokens calls its tensors: modules, and the bias of a tied head, whose
// matrix is the embedding.
struct HeadNames {
  std::string dense, norm, decoder, tied_bias;
};
// None without such a head.
void add_head_rules(const DecoderConfig& config, const HeadNames& names,
                    std::vector<WeightRule>& rules);

}  // namespace ashlar::models
