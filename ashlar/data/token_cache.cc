#include "ashlar/data/token_cache.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/checksum.h"
#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/data/content_hash.h"
#include "ashlar/data/file_lock.h"
#include "ashlar/data/progress_bar.h"
#include "ashlar/data/shard_format.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace ashlar::data {
namespace {

using nlohmann::json;

constexpr const char* kManifest = "manifest.json";
constexpr uint64_t kEncodingVersion = 1;  // changes whenever the same input gives other tokens

TokenSet open_given_tokens(const Source& source, const std::vector<SourceFile>& files,
                           const Encoder& encoder) {
  std::vector<TokenShard> shards;
  for (const SourceFile& file : files) {
    shards.push_back(TokenShard::open(file.path));
    const TokenShard& shard = shards.back();
    shard.verify();
    ASHLAR_CHECK(!shard.lists_documents() || shard.tokenizer() == encoder.fingerprint(),
                 "data {}: its tokens were made with another tokenizer; give the text instead",
                 file.path);
  }
  return {source.path, std::move(shards), encoder.vocab_size(), encoder.document_end()};
}

class CacheEntry {
 public:
  CacheEntry(const Source& source, std::vector<SourceFile> files, const Encoder& encoder,
             const CacheOptions& options)
      : source_(source),
        files_(std::move(files)),
        encoder_(encoder),
        options_(options),
        hashes_(join_path(options.folder, "hashes.json")) {
    folder_ = join_path(options.folder, fmt::format("tokens-{:016x}", key()));
  }

  TokenSet open(ThreadPool& pool) {
    make_directories(options_.folder);
    std::optional<TokenSet> tokens = try_open(spdlog::level::debug);
    if (!tokens) {
      const FileLock lock(folder_ + ".lock");  // others wait for the one that encodes
      tokens = try_open(spdlog::level::warn);
      if (!tokens) {
        encode(pool);
        tokens.emplace(open_shards());
      }
    }
    hashes_.save();
    return std::move(*tokens);
  }

 private:
  uint64_t key() {
    Xxh64 hash;
    const auto add = [&hash](uint64_t value) { hash.update(std::as_bytes(std::span(&value, 1))); };
    add(kEncodingVersion);
    add(encoder_.fingerprint());
    add(static_cast<uint64_t>(options_.shard_tokens));
    add(static_cast<uint64_t>(options_.bad_utf8));
    add(options_.choice.take_held_out);
    const double held_out[] = {options_.choice.held_out};
    hash.update(std::as_bytes(std::span(held_out)));
    for (const SourceFile& file : files_) {
      add(static_cast<uint64_t>(file.kind));
      add(hashes_.of(file.path, file.bytes));
    }
    return hash.digest();
  }

  // Nothing where there is no entry, or one that cannot be trusted.
  std::optional<TokenSet> try_open(spdlog::level::level_enum complain) {
    if (!is_directory(folder_)) return std::nullopt;
    try {
      return open_shards();
    } catch (const Error& error) {
      spdlog::log(complain, "event=token_cache_damaged action=encode_again reason=\"{}\"",
                  error.what());
      return std::nullopt;
    }
  }

  TokenSet open_shards() {
    const std::string manifest_path = join_path(folder_, kManifest);
    const json manifest = read_json<nlohmann::json>(manifest_path);
    std::vector<TokenShard> shards;
    try {
      for (const json& entry : manifest.at("shards")) {
        const std::string path = join_path(folder_, entry.at("file").get<std::string>());
        const auto bytes = entry.at("bytes").get<int64_t>();
        ASHLAR_CHECK(file_size(path) == bytes, "token shard {}: {} bytes, {} were written", path,
                     file_size(path), bytes);
        ASHLAR_CHECK(hashes_.of(path, bytes) == entry.at("checksum").get<uint64_t>(),
                     "token shard {}: the checksum does not fit; the file was altered", path);
        shards.push_back(TokenShard::open(path));
      }
    } catch (const json::exception& error) {
      fail("{}: {}", manifest_path, error.what());
    }
    return {source_.path, std::move(shards), encoder_.vocab_size(), encoder_.document_end()};
  }

  void encode(ThreadPool& pool) {
    AtomicDirectory folder(folder_, "data.tokens");
    const SteadyClock clock;
    ProgressBar bar("encode " + source_.path, clock, stderr_is_terminal());
    ShardWriter writer(folder.path(), {.vocab_size = encoder_.vocab_size(),
                                       .tokenizer = encoder_.fingerprint(),
                                       .shard_tokens = options_.shard_tokens});
    EncodeOptions encoding{options_.choice, options_.bad_utf8, {}};
    if (!options_.quiet) {
      encoding.progress = [&bar](const EncodeProgress& progress) { bar.show(progress); };
    }
    encode_corpus(files_, encoder_, encoding, pool, writer);
    ASHLAR_CHECK(writer.tokens() >= 2, "data {}: {} in it to {}{}", source_.path,
                 writer.tokens() == 0 ? "there is no text" : "there is too little text",
                 options_.choice.take_held_out ? "validate on" : "learn from", held_out_hint());
    json manifest = {{"format", kShardVersion},         {"tokens", writer.tokens()},
                     {"documents", writer.documents()}, {"text_bytes", writer.text_bytes()},
                     {"source", source_.path},          {"shards", json::array()}};
    for (const ShardInfo& shard : writer.finish()) {
      manifest["shards"].push_back(
          {{"file", shard.file}, {"bytes", shard.bytes}, {"checksum", shard.checksum}});
    }
    write_file(folder.path(kManifest),
               manifest.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
    folder.commit();
  }

  // Whole documents are held out: one document leaves nothing on one of the sides.
  std::string held_out_hint() const {
    if (options_.choice.held_out == 0) return "";
    return fmt::format(
        " once data.valid_share = {} is held out: whole documents (files, lines of JSONL) are; "
        "give "
        "more of them, or another file as data.valid",
        options_.choice.held_out);
  }

  const Source& source_;
  std::vector<SourceFile> files_;
  const Encoder& encoder_;
  const CacheOptions& options_;
  ContentHashes hashes_;
  std::string folder_;
};

}  // namespace

TokenSet open_tokens(const Source& source, const Encoder& encoder, const CacheOptions& options,
                     ThreadPool& pool) {
  std::vector<SourceFile> files = list_files(source, options.source);
  const auto already = std::ranges::count(files, FileKind::kTokens, &SourceFile::kind);
  if (already == 0) return CacheEntry(source, std::move(files), encoder, options).open(pool);
  ASHLAR_CHECK(already == std::ssize(files),
               "data {}: some files are text and {} are tokens; make them two sources", source.path,
               already);
  ASHLAR_CHECK(options.choice.held_out == 0 && options.source.max_bytes == 0,
               "data {}: tokens are taken whole: data.valid_share and data.max_bytes need text",
               source.path);
  return open_given_tokens(source, files, encoder);
}

std::string default_cache_folder() {
  if (const auto cache = env("XDG_CACHE_HOME")) return join_path(*cache, "ashlar/tokens");
  if (const auto home = env("HOME")) return join_path(*home, ".cache/ashlar/tokens");
  return ".ashlar-tokens";
}

}  // namespace ashlar::data
