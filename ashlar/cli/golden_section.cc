#include "ashlar/cli/golden_section.h"

#include "ashlar/base/error.h"
#include "ashlar/base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ashlar::cli {

using Json = nlohmann::ordered_json;

void Section::expect(bool passed, const std::function<std::string()>& what) {
  ++result_.checks;
  if (passed) return;
  if (result_.failed++ == 0) first_failure_ = what();
}

void Section::expect_near(const std::string& what, double found, double wanted, double allowed) {
  const double difference = std::fabs(found - wanted);
  expect(difference <= allowed, [&] {
    return fmt::format("{}: {} instead of {}, {:.2g} apart, {:.2g} allowed", what, found, wanted,
                       difference, allowed);
  });
  if (difference > worst_) {
    worst_ = difference;
    worst_what_ = what;
  }
}

SectionResult Section::finish() {
  result_.status = result_.checks == 0  ? SectionResult::Status::kSkipped
                   : result_.failed > 0 ? SectionResult::Status::kFailed
                                        : SectionResult::Status::kPassed;
  result_.detail = result_.checks == 0   ? "the section is empty"
                   : result_.failed > 0  ? first_failure_
                   : worst_what_.empty() ? ""
                                         : fmt::format("worst: {:.2g} ({})", worst_, worst_what_);
  return result_;
}

SectionResult skipped_section(const std::string& name) {
  SectionResult result;
  result.name = name;
  result.detail = "not in golden.json";
  return result;
}

SectionResult check_section(const Json& golden, const std::string& file, const std::string& name,
                            const CheckItem& check) {
  if (!golden.contains(name)) return skipped_section(name);
  const Json& part = golden[name];
  Section section(name);
  for (const Json& item : part.is_array() ? part : Json::array({part})) {
    try {
      check(item, section);
    } catch (const Json::exception& error) {
      fail("{}: section {}: {}", file, name, json_reason(error.what()));
    } catch (const Error& error) {  // the model cannot do what the section asks
      section.expect(false, [&] { return std::string(error.what()); });
    }
  }
  return section.finish();
}

std::vector<int32_t> golden_ids(const Json& json) {
  std::vector<int32_t> ids;
  for (const auto id : json.get<std::vector<int64_t>>()) {
    ASHLAR_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), "{} is no token id", id);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::string where_ids_differ(const std::vector<int32_t>& found,
                             const std::vector<int32_t>& wanted) {
  const auto [a, b] = std::ranges::mismatch(found, wanted);
  const auto show = [](auto at, const auto& ids) {
    return at == ids.end() ? std::string("nothing") : fmt::format("{}", *at);
  };
  return fmt::format("id {} is {} instead of {}", a - found.begin(), show(a, found),
                     show(b, wanted));
}

std::string shortened(const std::string& text) {
  return Json(text.substr(0, 40)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void check_tokenizer(const text::Tokenizer& tokenizer, const Json& item, Section& section) {
  const auto text = item.at("text").get<std::string>();
  const auto compare = [&](const char* key, bool special) {
    if (!item.contains(key)) return;
    const std::vector<int32_t> wanted = golden_ids(item[key]);
    const std::vector<int32_t> found = tokenizer.encode(text, special);
    section.expect(found == wanted, [&] {
      return fmt::format("{} of {}: {}", key, shortened(text), where_ids_differ(found, wanted));
    });
  };
  compare("ids", true);
  compare("ids_no_special", false);
  if (!item.contains("decoded")) return;
  const auto wanted = item["decoded"].get<std::string>();
  const std::vector<int32_t> ids = golden_ids(item.at("ids_no_special"));
  const std::string found = tokenizer.decode(ids, false);
  section.expect(found == wanted, [&] {
    return fmt::format("decoded: {} instead of {}", shortened(found), shortened(wanted));
  });
}

}  // namespace ashlar::cli
