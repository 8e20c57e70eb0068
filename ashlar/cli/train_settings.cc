#include "ashlar/cli/train_settings.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

namespace ashlar::cli {

void load_settings(const std::string& verb, const std::vector<std::string>& words,
                   ConfigTable& table) {
  if (words.empty()) {
    fail_usage("{}: no settings; give a config.toml or key=value (ashlar train --keys lists them)",
               verb);
  }
  std::string file;
  for (const std::string& word : words) {
    if (word.find('=') != std::string::npos) continue;
    if (!file.empty()) {
      fail_usage("{}: '{}' is neither key=value nor the only configuration file ({})", verb, word,
                 file);
    }
    file = word;
    if (!is_file(file)) {
      fail_usage("{}: '{}' is no file; settings are given as key=value", verb, file);
    }
    table.load_file(file);
  }
  table.load_env("ASHLAR_");
  for (const std::string& word : words) {
    if (word.find('=') != std::string::npos) table.set(word);
  }
}

}  // namespace ashlar::cli
