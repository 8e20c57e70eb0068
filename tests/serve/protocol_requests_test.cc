#include "ashlar/serve/protocol/chat.h"
#include "ashlar/serve/protocol/completions.h"
#include "ashlar/serve/protocol/embeddings.h"
#include "ashlar/serve/protocol/tokenize.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::serve {
namespace {

RequestRules rules() {
  RequestRules result;
  result.vocab_size = 100;
  result.defaults.temperature = 0.7;
  return result;
}

using Parse = GenerateCall (*)(std::string_view, const RequestRules&);

// "param | message" of the fault, "" when the request is fine.
std::string fault_of(Parse parse, const std::string& body) {
  try {
    parse(body, rules());
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kInvalid);
    return error.fault().param + " | " + error.what();
  }
  return "";
}

std::string completion_with(const std::string& fields) {
  return R"({"model": "m", "prompt": "hi", )" + fields + "}";
}
std::string chat_with(const std::string& fields) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "hi"}], )" + fields + "}";
}

struct BadField {
  std::string field;  // "name": value
  std::string param;
  std::string wanted;  // a part of the message
};

TEST(ProtocolRequests, SharedFieldsAreChecked) {
  const std::vector<BadField> cases = {
      {R"("temperature": "hot")", "temperature", "found the string \"hot\", wanted a number"},
      {R"("temperature": -0.1)", "temperature", "found the number -0.1"},
      {R"("temperature": 2.5)", "temperature", "from 0 to 2"},
      {R"("temperature": true)", "temperature", "found true"},
      {R"("top_p": 1.01)", "top_p", "from 0 to 1"},
      {R"("top_k": 1.5)", "top_k", "an integer"},
      {R"("top_k": -2)", "top_k", "an integer from -1"},
      {R"("min_p": -1)", "min_p", "from 0 to 1"},
      {R"("presence_penalty": 3)", "presence_penalty", "from -2 to 2"},
      {R"("frequency_penalty": "x")", "frequency_penalty", "from -2 to 2"},
      {R"("repetition_penalty": 0)", "repetition_penalty", "from 0.01"},
      {R"("seed": 1.5)", "seed", "an integer"},
      {R"("seed": 18446744073709551615)", "seed", "an integer"},
      {R"("n": 0)", "n", "from 1 to 128"},
      {R"("n": 129)", "n", "from 1 to 128"},
      {R"("n": "2")", "n", "found the string \"2\""},
      {R"("max_tokens": 0)", "max_tokens", "from 1"},
      {R"("max_tokens": -5)", "max_tokens", "from 1"},
      {R"("max_tokens": 1e3)", "max_tokens", "found the number 1000.0, wanted an integer"},
      {R"("stop": 3)", "stop", "found the number 3"},
      {R"("stop": [""])", "stop", "of 1 to 1024 bytes"},
      {R"("stop": ["a", 1])", "stop", "found the number 1"},
      {R"("stop": ["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"])", "stop",
       "found an array of 17"},
      {R"("stream": "yes")", "stream", "true or false"},
      {R"("stream": 1)", "stream", "true or false"},
      {R"("ignore_eos": 1)", "ignore_eos", "true or false"},
      {R"("stream_options": {"include_usage": true})", "stream_options", "only for streams"},
      {R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options.include_usage",
       "true or false"},
      {R"("stream": true, "stream_options": [])", "stream_options", "wanted an object"},
      {R"("logit_bias": [1])", "logit_bias", "wanted an object"},
      {R"("logit_bias": {"x": 1})", "logit_bias", "found the key \"x\""},
      {R"("logit_bias": {"100": 1})", "logit_bias", "a token id below 100"},
      {R"("logit_bias": {"-1": 1})", "logit_bias", "found the key \"-1\""},
      {R"("logit_bias": {"1 ": 1})", "logit_bias", "found the key \"1 \""},
      {R"("logit_bias": {"5": 101})", "logit_bias.5", "from -100 to 100"},
      {R"("return_token_ids": "x")", "return_token_ids", "true or false"},
      {R"("temprature": 0)", "temprature", "no such field; did you mean temperature?"},
      {R"("maxTokens": 9)", "maxTokens", "did you mean max_tokens?"},
      {R"("unknown_field": [1])", "unknown_field", "no such field; leave it out"},
      {R"("stream": true, "stream_options": {"include_usages": true})",
       "stream_options.include_usages", "did you mean include_usage?"},
      {"\"" + std::string(100'000, 'x') + "\": 1", std::string(40, 'x') + "...", "no such field"},
      {R"("skip_special_tokens": false)", "skip_special_tokens", "does not support"},
      {R"("best_of": 3)", "best_of", "does not support"},
      {R"("stop_token_ids": [3])", "stop_token_ids", "does not support"},
      {R"("min_tokens": 2)", "min_tokens", "does not support"},
      {R"("response_format": {"type": "json_object"})", "response_format", "does not support"},
      {R"("guided_json": {"type": "object"})", "guided_json", "does not support"},
      {R"("guided_regex": "a+")", "guided_regex", "does not support"},
  };
  for (const BadField& c : cases) {
    for (const std::string& fault : {fault_of(parse_completion, completion_with(c.field)),
                                     fault_of(parse_chat, chat_with(c.field))}) {
      EXPECT_TRUE(fault.starts_with(c.param + " | ")) << c.field << " gave: " << fault;
      EXPECT_NE(fault.find(c.wanted), std::string::npos) << c.field << " gave: " << fault;
    }
  }
}

TEST(ProtocolRequests, CompletionFieldsAreChecked) {
  const std::vector<BadField> cases = {
      {R"({"model": "m"})", "prompt", "found nothing"},
      {R"({"prompt": null})", "prompt", "found nothing"},
      {R"({"prompt": "a", "model": 3})", "model", "found the number 3, wanted a string"},
      {R"({"prompt": 3})", "prompt", "found the number 3"},
      {R"({"prompt": []})", "prompt", "not empty"},
      {R"({"prompt": [[]]})", "prompt[0]", "non-empty array of token ids"},
      {R"({"prompt": ["a", [1]]})", "prompt", "mixes"},
      {R"({"prompt": ["a", 1]})", "prompt[1]", "found the number 1"},
      {R"({"prompt": [1, "a"]})", "prompt[1]", "found the string \"a\", wanted a token id"},
      {R"({"prompt": [1, 100]})", "prompt[1]",
       "found the number 100, wanted a token id from 0 to 99"},
      {R"({"prompt": [[1], [2, -1]]})", "prompt[1][1]", "found the number -1"},
      {R"({"prompt": [1.0]})", "prompt[0]", "found the number 1.0, wanted a token id"},
      {R"({"prompt": [99999999999999999999]})", "prompt[0]",
       "found the number 1e+20, wanted a token id from 0 to 99"},
      {R"({"prompt": [1, 2.5]})", "prompt[1]", "found the number 2.5"},
      {R"({"prompt": {"a": 1}})", "prompt", "found an object"},
      {R"([1])", "body", "wanted an object"},
      {R"("x")", "body", "wanted an object"},
      {completion_with(R"("suffix": "end")"), "suffix", "does not support"},
      {completion_with(R"("logprobs": true)"), "logprobs", "an integer from 0 to 20"},
      {completion_with(R"("logprobs": 21)"), "logprobs", "from 0 to 20"},
      {completion_with(R"("echo": "x")"), "echo", "true or false"},
      {completion_with(R"("messages": [{"role": "user"}])"), "messages", "does not support"},
  };
  for (const BadField& c : cases) {
    const std::string fault = fault_of(parse_completion, c.field);
    EXPECT_TRUE(fault.starts_with(c.param + " | ")) << c.field << " gave: " << fault;
    EXPECT_NE(fault.find(c.wanted), std::string::npos) << c.field << " gave: " << fault;
  }
  std::string many = R"({"n": 100, "prompt": [)";
  for (int i = 0; i < 21; ++i) many += i == 0 ? "\"a\"" : ",\"a\"";
  EXPECT_NE(fault_of(parse_completion, many + "]}").find("are 2100 choices, at most 2048"),
            std::string::npos);
}

TEST(ProtocolRequests, ChatFieldsAreChecked) {
  const auto message = [](const std::string& text) { return R"({"messages": [)" + text + "]}"; };
  const std::vector<BadField> cases = {
      {R"({})", "messages", "found nothing"},
      {R"({"messages": "hi"})", "messages", "found the string \"hi\""},
      {R"({"messages": []})", "messages", "non-empty"},
      {message("3"), "messages[0]", "wanted an object"},
      {message(R"({"content": "x"})"), "messages[0].role", "found nothing"},
      {message(R"({"role": "wizard", "content": "x"})"), "messages[0].role", "\"wizard\""},
      {message(R"({"role": "tool", "content": "x"})"), "messages[0].role", "\"tool\""},
      {message(R"({"role": "user"})"), "messages[0].content", "found nothing"},
      {message(R"({"role": "user", "content": 3})"), "messages[0].content", "the number 3"},
      {message(R"({"role": "user", "content": [3]})"), "messages[0].content[0]", "an object"},
      {message(R"({"role": "user", "content": [{"type": "image_url"}]})"),
       "messages[0].content[0].type", "found the string \"image_url\""},
      {message(R"({"role": "user", "content": [{"type": "text"}]})"), "messages[0].content[0].text",
       "a string"},
      {message(R"({"role": "assistant", "content": "x", "tool_calls": [{}]})"),
       "messages[0].tool_calls", "not supported"},
      {chat_with(R"("tools": [{"type": "function"}])"), "tools", "does not support"},
      {chat_with(R"("tool_choice": "required")"), "tool_choice", "does not support"},
      {chat_with(R"("modalities": ["text", "audio"])"), "modalities", "does not support"},
      {chat_with(R"("reasoning_effort": "high")"), "reasoning_effort", "does not support"},
      {chat_with(R"("echo": true)"), "echo", "does not support"},
      {chat_with(R"("logprobs": 3)"), "logprobs", "true or false"},
      {chat_with(R"("top_logprobs": 3)"), "top_logprobs", "set logprobs to true"},
      {chat_with(R"("logprobs": true, "top_logprobs": 21)"), "top_logprobs", "from 0 to 20"},
      {chat_with(R"("max_tokens": 3, "max_completion_tokens": 4)"), "max_tokens", "differs"},
      {chat_with(R"("continue_final_message": true, "add_generation_prompt": true)"),
       "continue_final_message", "add_generation_prompt"},
      {chat_with(R"("chat_template_kwargs": 3)"), "chat_template_kwargs", "an object"},
      {chat_with(R"("chat_template_kwargs": {"tools": []})"), "chat_template_kwargs.tools",
       "a field of the request"},
      {message(R"({"role": "user", "content": "x", "mood": "sad"})"), "messages[0].mood", "mood"},
      {message(R"({"role": "user", "content": [{"type": "text", "text": "x", "size": 3}]})"),
       "messages[0].content[0].size", "size"},
  };
  for (const BadField& c : cases) {
    const std::string fault = fault_of(parse_chat, c.field);
    EXPECT_TRUE(fault.starts_with(c.param + " | ")) << c.field << " gave: " << fault;
    EXPECT_NE(fault.find(c.wanted), std::string::npos) << c.field << " gave: " << fault;
  }
}

TEST(ProtocolRequests, ValuesThatAskForNothingPass) {
  const std::string harmless =
      R"("user": "u", "metadata": {"a": "b"}, "best_of": 1, "logit_bias": null, "stop": null,
         "response_format": {"type": "text"}, "service_tier": "auto", "unknown_field": null, "unknown_flag": false,
         "skip_special_tokens": true, "store": true, "priority": 3,
         "min_tokens": 0, "stop_token_ids": [], "seed": null)";
  EXPECT_EQ(fault_of(parse_completion, completion_with(harmless + R"(, "suffix": "")")), "");
  EXPECT_EQ(fault_of(parse_chat, chat_with(harmless + R"(, "tools": [], "tool_choice": "none",
            "modalities": ["text"], "parallel_tool_calls": true, "echo": false)")),
            "");
}

TEST(ProtocolRequests, CompletionFields) {
  const GenerateCall call = parse_completion(
      R"({"model": "m", "prompt": ["a", "b"], "n": 3, "max_tokens": 7, "temperature": 0,
          "top_p": 0.5, "top_k": -1, "min_p": 0.1, "seed": -1, "presence_penalty": 1,
          "frequency_penalty": -1, "repetition_penalty": 1.1, "logit_bias": {"5": -100, "7": 2},
          "stop": ["x", "yy"], "ignore_eos": true, "logprobs": 2, "echo": true, "stream": true,
          "stream_options": {"include_usage": true}, "add_special_tokens": false})",
      rules());
  const GenerateRequest& request = call.request;
  ASSERT_EQ(request.prompts.size(), 2U);
  EXPECT_EQ(std::get<TextPrompt>(request.prompts[1]).text, "b");
  EXPECT_FALSE(std::get<TextPrompt>(request.prompts[1]).add_special_tokens);
  EXPECT_EQ(request.choices(), 6);
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.sampling.temperature, 0);
  EXPECT_EQ(request.sampling.top_p, 0.5);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.min_p, 0.1);
  EXPECT_EQ(request.sampling.seed, ~uint64_t{0});
  EXPECT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_EQ(request.sampling.frequency_penalty, -1);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  const std::vector<std::pair<int32_t, double>> bias = {{5, -100}, {7, 2}};
  EXPECT_EQ(request.sampling.logit_bias, bias);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"x", "yy"}));
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.top_logprobs, 2);
  EXPECT_TRUE(request.echo);
  EXPECT_TRUE(call.stream);
  EXPECT_EQ(call.model, "m");
  EXPECT_TRUE(call.format->options().include_usage);
}

TEST(ProtocolRequests, DefaultsAreTheModelsOwn) {
  const GenerateCall completion = parse_completion(R"({"prompt": [1, 2, 3]})", rules());
  EXPECT_EQ(std::get<TokenIds>(completion.request.prompts[0]), (TokenIds{1, 2, 3}));
  EXPECT_EQ(completion.request.sampling.temperature, 0.7);
  EXPECT_EQ(completion.request.max_tokens, 16);
  EXPECT_EQ(completion.request.sampling.seed, std::nullopt);
  EXPECT_FALSE(completion.stream);
  const GenerateCall ids = parse_completion(R"({"prompt": [[1, 2], [3]]})", rules());
  EXPECT_EQ(std::get<TokenIds>(ids.request.prompts[1]), (TokenIds{3}));
  const GenerateCall chat = parse_chat(chat_with(R"("n": 2)"), rules());
  EXPECT_EQ(chat.request.max_tokens, std::nullopt);
  EXPECT_EQ(chat.request.choices(), 2);
  const GenerateCall scoring =
      parse_completion(completion_with(R"("echo": true, "max_tokens": 0)"), rules());
  EXPECT_EQ(scoring.request.max_tokens, 0);
}

TEST(ProtocolRequests, ChatMessages) {
  const GenerateCall call = parse_chat(
      R"({"messages": [{"role": "developer", "content": "be brief"},
                       {"role": "user", "name": "ann",
                        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                       {"role": "assistant", "content": "so", "reasoning_content": "hm",
                        "refusal": null, "annotations": []}],
          "continue_final_message": true, "chat_template_kwargs": {"thinking": false},
          "max_completion_tokens": 9, "logprobs": true, "top_logprobs": 4})",
      rules());
  const auto& prompt = std::get<ChatPrompt>(call.request.prompts.at(0));
  ASSERT_EQ(prompt.messages.size(), 3U);
  EXPECT_EQ(prompt.messages[0].role, "system");
  EXPECT_EQ(prompt.messages[1].content, "a\nb");
  EXPECT_EQ(prompt.messages[1].parts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(prompt.messages[1].name, "ann");
  EXPECT_EQ(prompt.messages[2].reasoning, "hm");
  EXPECT_TRUE(prompt.continue_final_message);
  EXPECT_FALSE(prompt.add_generation_prompt);
  EXPECT_EQ(prompt.template_arguments, R"({"thinking":false})");
  EXPECT_EQ(call.request.max_tokens, 9);
  EXPECT_EQ(call.request.top_logprobs, 4);
}

TEST(ProtocolRequests, OtherRoutes) {
  EXPECT_EQ(std::get<TextPrompt>(parse_tokenize(R"({"prompt": "x"})", rules()).prompt).text, "x");
  EXPECT_EQ(parse_detokenize(R"({"tokens": [1, 2]})", rules()).ids, (TokenIds{1, 2}));
  EXPECT_EQ(
      parse_embed(R"({"input": ["a", "b"], "model": "m", "encoding_format": "base64"})", rules())
          .request.inputs.size(),
      2U);
  EXPECT_THROW(parse_tokenize(R"({"prompt": 3})", rules()), RequestError);
  EXPECT_THROW(parse_tokenize(R"({"prompt": "a", "messages": []})", rules()), RequestError);
  EXPECT_THROW(parse_detokenize(R"({"tokens": [100]})", rules()), RequestError);
  EXPECT_THROW(parse_tokenize(R"({"prompt": "a", "content": "b"})", rules()), RequestError);
  EXPECT_THROW(parse_detokenize(R"({"tokens": [1], "ids": [2]})", rules()), RequestError);
  EXPECT_THROW(parse_embed(R"({"input": "a", "dimension": 3})", rules()), RequestError);
  EXPECT_THROW(parse_embed(R"({"input": "a", "encoding_format": "hex"})", rules()), RequestError);
}

}  // namespace
}  // namespace ashlar::serve
