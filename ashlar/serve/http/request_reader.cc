#include "ashlar/serve/http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

#include <optional>

namespace ashlar::serve {
namespace {

namespace http = boost::beast::http;

std::string text(boost::beast::string_view view) { return {view.data(), view.size()}; }

ApiError read_error(const boost::system::error_code& error, const HttpLimits& limits) {
  if (error == http::error::body_limit) {
    return client_error(413, "request_too_large",
                        fmt::format("the body is larger than {} bytes, the most this server takes",
                                    limits.body_bytes));
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return client_error(431, "header_too_large",
                        fmt::format("the request's header is larger than {} bytes, the most this "
                                    "server takes",
                                    limits.header_bytes));
  }
  if (error == http::error::bad_version) {
    return client_error(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  return client_error(400, "bad_http", fmt::format("malformed HTTP request: {}", error.message()));
}

}  // namespace

struct RequestReader::Impl {
  using Parser = http::request_parser<http::string_body>;

  explicit Impl(const HttpLimits& bounds) : limits(bounds) { begin(); }

  void begin() {
    parser.emplace();
    parser->header_limit(static_cast<uint32_t>(limits.header_bytes));
    parser->body_limit(static_cast<uint64_t>(limits.body_bytes));
    request = {};
    header_seen = false;
  }

  State fail(ApiError why) {
    if (!header_seen) copy_header();  // as far as it came, for logs and CORS
    error = std::move(why);
    return State::kFailed;
  }

  void copy_header() {
    header_seen = true;
    const auto& message = parser->get();
    request.method = text(message.method_string());
    request.path = path_of(text(message.target())).value_or("");
    for (const auto& field : message) {
      request.headers.emplace_back(text(field.name_string()), text(field.value()));
    }
  }

  State take_header() {
    copy_header();
    const auto& message = parser->get();
    request.keep_alive = message.keep_alive();
    constexpr unsigned kHttp11 = 11;
    request.chunked_answers = message.version() >= kHttp11;
    if (request.path.empty()) {
      return fail(client_error(400, "bad_target", "the request's path is malformed"));
    }
    // Where such a body ends is not known, so what follows could not be told from a next request.
    const std::string_view transfer = request.header("Transfer-Encoding");
    if (!transfer.empty() && !message.chunked()) {
      return fail(client_error(
          501, "transfer_encoding",
          fmt::format("of Transfer-Encoding only chunked is known, not {}", transfer)));
    }
    const std::string_view content = request.header("Content-Encoding");
    if (!content.empty() && !same_text(content, "identity")) {
      return fail(
          client_error(415, "content_encoding",
                       fmt::format("a body in Content-Encoding {} is not read here; send it "
                                   "as it is",
                                   content)));
    }
    const std::string_view expect = request.header("Expect");
    if (!expect.empty() && !same_text(expect, "100-continue")) {
      return fail(client_error(417, "expectation_failed", "of Expect only 100-continue is known"));
    }
    return State::kHeader;
  }

  HttpLimits limits;
  // Erasing a prefix for each piece of a body in small chunks would cost their number squared.
  void drop(size_t bytes) {
    taken += bytes;
    if (taken < buffer.size() && taken < buffer.size() / 2) return;
    buffer.erase(0, taken);
    taken = 0;
  }
  std::string_view rest() const { return std::string_view(buffer).substr(taken); }

  std::string buffer;
  size_t taken = 0;  // bytes of the buffer that were parsed
  std::optional<Parser> parser;
  HttpRequest request;
  bool header_seen = false;
  ApiError error;
};

RequestReader::RequestReader(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestReader::~RequestReader() = default;

void RequestReader::append(std::string_view bytes) { impl_->buffer.append(bytes); }

RequestReader::State RequestReader::advance() {
  Impl& impl = *impl_;
  // put() stops at the end of the header, then at the end of each piece of the body.
  while (!impl.parser->is_done()) {
    if (impl.parser->is_header_done() && !impl.header_seen) return impl.take_header();
    const std::string_view rest = impl.rest();
    if (rest.empty()) return State::kNeedMore;
    boost::system::error_code error;
    impl.drop(impl.parser->put(boost::asio::buffer(rest.data(), rest.size()), error));
    if (error == http::error::need_more) {
      if (impl.parser->is_header_done() && !impl.header_seen) return impl.take_header();
      return State::kNeedMore;
    }
    if (error) return impl.fail(read_error(error, impl.limits));
  }
  if (!impl.header_seen) return impl.take_header();
  impl.request.body = std::move(impl.parser->get().body());
  return State::kMessage;
}

HttpRequest& RequestReader::request() { return impl_->request; }
const HttpRequest& RequestReader::request() const { return impl_->request; }
const ApiError& RequestReader::error() const { return impl_->error; }

bool RequestReader::started() const {
  return impl_->header_seen || !impl_->rest().empty() || impl_->parser->got_some();
}

bool RequestReader::header_done() const { return impl_->header_seen; }
bool RequestReader::message_done() const { return impl_->parser->is_done(); }

bool RequestReader::expects_continue() const {
  return same_text(impl_->request.header("Expect"), "100-continue") && !message_done();
}

size_t RequestReader::buffered() const { return impl_->rest().size(); }

void RequestReader::next() { impl_->begin(); }

}  // namespace ashlar::serve
