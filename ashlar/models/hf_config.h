// Reads a model's config.json key by key and remembers which keys were asked for: finish() refuses
// the rest, so nothing that changes the mathematics is passed over in silence. Errors name the file
// and the key. A key that is null counts as absent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::models {

class HfConfig {
 public:
  // where: the file, for messages.
  HfConfig(std::string_view text, std::string where);
  ~HfConfig();
  HfConfig(HfConfig&&) noexcept;

  const std::string& where() const;
  bool has(const std::string& key) const;
  // Whether the file says null, where a key left out would mean something else.
  bool is_null(const std::string& key) const;
  // Another name the key goes by; used when the key itself is absent. Two values are an error.
  void alias(const std::string& key, const std::string& other);
  // The same where the key goes before the other name, whatever that says.
  void prefer(const std::string& key, const std::string& other);

  // A size: an integer from 1 to `most`. Without a fallback the key is required; null is an error.
  int64_t size(const std::string& key, std::optional<int64_t> fallback = std::nullopt,
               int64_t most = INT32_MAX);
  double number(const std::string& key, std::optional<double> fallback = std::nullopt);
  // The same where null means the fallback too.
  int64_t size_or(const std::string& key, int64_t fallback);
  double number_or(const std::string& key, double fallback);
  std::vector<std::string> strings(const std::string& key);  // of a list; none where it is absent
  bool flag(const std::string& key, bool fallback);          // null is false
  std::string text(const std::string& key, std::optional<std::string> fallback = std::nullopt);
  std::vector<int64_t> token_ids(const std::string& key);  // one id, a list of ids, or none
  std::vector<std::string> texts(const std::string& key);
  std::vector<double> numbers(const std::string& key);
  // An object below this one; its keys are finished on their own.
  std::optional<HfConfig> object(const std::string& key);

  // Keys that don't change what a decoder computes, separated by spaces.
  void ignore(std::string_view keys);
  // A key this version understands at one value only (or absent); refuses others by name.
  void only(const std::string& key, double supported);
  void only(const std::string& key, bool supported);
  // Throws Error naming the first key nobody asked for, unless its value means "off" (null, false,
  // empty) or the name says it is a note (a leading underscore, a version).
  void finish() const;

 private:
  struct Impl;
  explicit HfConfig(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Keys every Hugging Face config may carry: training, generation and bookkeeping.
void ignore_common_keys(HfConfig& config);

}  // namespace ashlar::models
