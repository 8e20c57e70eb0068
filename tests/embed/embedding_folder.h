// A folder with a fixture's weights and whatever embedding files a test writes into it.
#pragma once

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"

#include <filesystem>
#include <string>

namespace ashlar::testing {

class EmbeddingFolder {
 public:
  explicit EmbeddingFolder(const std::string& fixture) : folder_(quick_folder()) {
    std::filesystem::copy(test_data("models/" + fixture), path(),
                          std::filesystem::copy_options::recursive);
  }
  const std::string& path() const { return folder_.path(); }

  // Modules as sentence-transformers writes them; pooling: of 1_Pooling/config.json.
  void write_modules(const std::string& pooling, bool normalize) const {
    std::string modules =
        R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
    if (normalize) {
      modules +=
          R"(, {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})";
    }
    std::filesystem::create_directories(path() + "/1_Pooling");
    write_file(path() + "/modules.json", modules + "]");
    write_file(path() + "/1_Pooling/config.json", pooling);
  }

 private:
  TempDir folder_;
};

}  // namespace ashlar::testing
