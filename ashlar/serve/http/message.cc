#include "ashlar/serve/http/message.h"

#include <boost/beast/http/status.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace ashlar::serve {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

std::string_view reason(int status) {
  const auto text = boost::beast::http::obsolete_reason(
      static_cast<boost::beast::http::status>(static_cast<unsigned>(status)));
  return {text.data(), text.size()};
}

}  // namespace

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (same_text(key, name)) return value;
  }
  return "";
}

std::optional<std::string> path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (target == "*") return "*";  // OPTIONS *
  if (!target.starts_with('/')) return std::nullopt;
  target = target.substr(0, target.find_first_of("?#"));
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] != '%') {
      path += target[i];
      continue;
    }
    const bool whole = i + 2 < target.size();
    const int high = whole ? hex_value(target[i + 1]) : -1;
    const int low = whole ? hex_value(target[i + 2]) : -1;
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;  // %00 too
    path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return path;
}

std::string response_head(const HttpResponse& response, bool keep_alive, bool chunked) {
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", response.status,
                  reason(response.status), fmt::gmtime(std::time(nullptr)));
  constexpr int kNoContent = 204;
  if (response.status != kNoContent) {
    head += fmt::format("Content-Type: {}\r\n", response.content_type);
    if (!chunked) head += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  for (const auto& [name, value] : response.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
  }
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string chunk_frame(std::string_view data) {
  return data.empty() ? "" : fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}

}  // namespace ashlar::serve
