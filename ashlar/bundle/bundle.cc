#include "ashlar/bundle/bundle.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"

#include <array>

namespace ashlar::bundle {
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kGeneration = "generation_config.json";
constexpr const char* kTemplates = "additional_chat_templates";

constexpr std::array kTextFiles = {kTokenizer,
                                   "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "tokenizer.model",
                                   "chat_template.jinja",
                                   kGeneration};

// Where the newest model of a run of `ashlar train` lies.
std::string run_folder_hint(const std::string& path) {
  const std::string latest = join_path(path, "latest");
  if (!is_file(latest)) return "";
  const std::string text = read_file(latest);
  return fmt::format("; the newest of this run is {}",
                     join_path(path, text.substr(0, text.find('\n'))));
}

void check_folder(const std::string& path) {
  ASHLAR_CHECK(!path.ends_with(".gguf"),
               "model {}: GGUF files are not read in this version; give a Hugging Face folder "
               "(config.json, model.safetensors, tokenizer.json)",
               path);
  ASHLAR_CHECK(!is_file(path), "model {} is a file; wanted its folder, with config.json in it",
               path);
  ASHLAR_CHECK(is_directory(path), "model {}: no such folder", path);
  ASHLAR_CHECK(is_file(join_path(path, kConfig)),
               "model {} has no config.json; wanted a Hugging Face folder{}", path,
               run_folder_hint(path));
}

}  // namespace

Bundle Bundle::open(const std::string& path) {
  check_folder(path);
  const std::string file = join_path(path, kConfig);
  return {path, models::parse_config(read_json_text(file), file)};
}

formats::SafetensorsReader Bundle::open_weights() const {
  return formats::SafetensorsReader(path_);
}

bool Bundle::has_tokenizer() const { return is_file(join_path(path_, kTokenizer)); }

text::Tokenizer Bundle::load_tokenizer() const {
  ASHLAR_CHECK(has_tokenizer(), "model {} has no tokenizer.json; give token ids instead of text",
               path_);
  text::Tokenizer tokenizer = text::Tokenizer::from_json_file(join_path(path_, kTokenizer));
  tokenizer.drop_length_rules();
  return tokenizer;
}

text::ChatFiles Bundle::chat_files() const { return text::read_chat_files(path_); }

GenerationConfig Bundle::generation() const {
  GenerationConfig result = generation_config(config_);
  const std::string file = join_path(path_, kGeneration);
  if (!is_file(file)) return result;
  GenerationConfig written = parse_generation_config(read_json_text(file), file);
  if (!written.bos) written.bos = result.bos;
  if (written.eos.empty()) written.eos = result.eos;
  return written;
}

std::map<std::string, std::string> Bundle::text_files() const {
  std::map<std::string, std::string> files;
  for (const char* name : kTextFiles) {
    const std::string file = join_path(path_, name);
    if (is_file(file)) files[name] = read_file(file);
  }
  const std::string templates = join_path(path_, kTemplates);
  if (!is_directory(templates)) return files;
  for (const std::string& name : list_directory(templates)) {
    if (name.ends_with(".jinja")) {
      files[join_path(kTemplates, name)] = read_file(join_path(templates, name));
    }
  }
  return files;
}

}  // namespace ashlar::bundle
