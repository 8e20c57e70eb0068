#include "ashlar/data/data_config.h"

#include "ashlar/base/config.h"
#include "ashlar/base/error.h"

namespace ashlar::data {

void DataConfig::bind(ConfigBinder& b) {
  b.key("train", train, "files or folders to learn from: path or path:weight, one or several");
  b.key("valid", valid, "files or folders to validate on");
  b.key("valid_share", valid_share, "share of train's documents to hold out for validation")
      .between(0, 0.5);
  b.key("tokenizer", tokenizer, "model or tokenizer.json whose tokens to use; empty: the model's");
  b.choice<Packing>(
      "packing", packing,
      {{"auto", Packing::kAuto}, {"stream", Packing::kStream}, {"documents", Packing::kDocuments}},
      "rows cut from one stream, or made of whole documents; auto: chats are whole");
  b.key("isolate", isolate,
        "documents do not attend to each other; unset: with packing of documents only");
  b.key("extensions", extensions, "of the files to take from folders; empty: txt, md, jsonl");
  b.key("max_bytes", max_bytes, "take no more than this of each source; 0: all").at_least(0);
  b.choice<BadUtf8>("bad_utf8", bad_utf8,
                    {{"refuse", BadUtf8::kRefuse}, {"replace", BadUtf8::kReplace}},
                    "what to do with text that is not UTF-8");
  b.key("cache", cache, "folder that keeps encoded tokens; empty: ~/.cache/ashlar/tokens");
}

void DataConfig::validate() const {
  if (train.empty()) fail_usage("config data.train: no text to learn from; give a file or folder");
  if (!valid.empty() && valid_share > 0) {
    fail_usage("config data.valid_share: {} of train is held out, but data.valid is given too",
               valid_share);
  }
  if (packing == Packing::kDocuments && isolate == false) {
    fail_usage(
        "config data.isolate: false does not go with data.packing=documents, where rows "
        "mix documents that do not follow each other");
  }
  for (const std::string& extension : extensions) {
    if (extension.empty() || extension.find_first_of("./*") != std::string::npos) {
      fail_usage("config data.extensions: \"{}\" is not a bare extension such as txt", extension);
    }
  }
}

}  // namespace ashlar::data
