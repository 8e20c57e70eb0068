// An HTTP request and response as plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::serve {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  HttpHeaders headers;
  std::string body;
  bool keep_alive = true;
  bool chunked_answers = true;  // HTTP/1.1
  std::string id;               // x-request-id, the client's or ours
  std::string route;            // the label of the matched route, for metrics; "" when none

  // The first header of that name, whatever its case; "" when absent.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  HttpHeaders headers;
};

// Header names and tokens compare without case.
bool same_text(std::string_view a, std::string_view b);

// "/v1/models/a%2Fb?x=1", "http://host/v1/models": the decoded path; none when malformed.
std::optional<std::string> path_of(std::string_view target);

// Status line and headers, with Content-Length unless `chunked` or the status has no body.
std::string response_head(const HttpResponse& response, bool keep_alive, bool chunked);

// One piece of a chunked body. An empty piece would end the body and is left out.
std::string chunk_frame(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace ashlar::serve
