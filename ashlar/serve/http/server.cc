#include "ashlar/serve/http/server.h"

#include "ashlar/base/log.h"
#include "ashlar/serve/http/api.h"
#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/http/cors.h"
#include "ashlar/serve/http/io_post.h"
#include "ashlar/serve/http/listener.h"
#include "ashlar/serve/http/router.h"
#include "ashlar/serve/metrics.h"

#include <boost/asio/signal_set.hpp>

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <optional>
#include <unordered_set>
#include <utility>

namespace ashlar::serve {

namespace asio = boost::asio;
using boost::system::error_code;

// Lives on the HTTP thread, but for construction and the posts of drain() and abort().
class HttpServer::Core : public ConnectionHost {
 public:
  Core(HttpOptions options, Backend& backend, const Clock& clock)
      : options_(std::move(options)),
        post_(std::make_shared<IoPost>(io_)),
        listener_(io_, options_.host, options_.port),
        signals_(io_),
        timer_(io_),
        metrics_(backend.models().front().id),
        router_(options_) {
    if (!options_.tls_cert.empty()) tls_ = load_tls(options_.tls_cert, options_.tls_key);
    add_api_routes(router_, {backend, metrics_, clock, post_, options_.limits.health_stall_s,
                             [this] { return draining(); }});
  }

  void run() {
    if (options_.handle_signals) await_signal();
    listener_.accept([this](Socket socket) { admit(std::move(socket)); });
    log::info("http event=listening url={}", url());
    if (!listener_.local() && options_.api_keys.empty()) {
      log::warn("http event=open reason=\"no API key is set: all who reach this port may use it\"");
    }
    run_io();
    post_->close();
    log::info("http event=stopped");
  }

  std::string url() const {
    const bool unix_socket = listener_.port() == 0;
    return (unix_socket ? "" : tls_ ? "https://" : "http://") + listener_.where();
  }

  uint16_t port() const { return listener_.port(); }
  IoPost& post() { return *post_; }
  int signal() const { return signal_; }

  void drain() {
    if (draining_.exchange(true)) return;
    log::info("http event=draining connections={}", connections_.size());
    listener_.close();
    for (const auto& connection : snapshot()) connection->drain();
    after(options_.limits.drain_s, [this] {
      log::warn("http event=drain_timeout connections={}", connections_.size());
      end_requests();
    });
    stop_if_done();
  }

  void abort() {
    draining_ = true;
    listener_.close();
    for (const auto& connection : snapshot()) connection->close();
    stop_if_done();
  }

  // ConnectionHost
  std::optional<HttpResponse> screen(HttpRequest& head) override { return router_.screen(head); }
  void handle(Exchange& exchange) override { router_.handle(exchange); }
  HttpHeaders headers_for(const HttpRequest& request) override {
    return cors_headers(request, options_.allowed_origins);
  }
  void answered(const Answered& answer) override {
    const HttpRequest& request = answer.request;
    metrics_.http_request(request.method, request.route, answer.status, answer.seconds);
    if (!options_.log_requests) return;
    const bool probe = request.route == "/health" || request.route == "/metrics";
    spdlog::log(probe ? spdlog::level::debug : spdlog::level::info,
                "http request={} method={} route={} status={} seconds={:.3f} bytes={}", request.id,
                request.method, request.route.empty() ? "none" : request.route, answer.status,
                answer.seconds, answer.bytes);
  }
  bool take_body_bytes(int64_t bytes) override {
    if (body_bytes_ + bytes > options_.limits.bodies_bytes) return false;
    body_bytes_ += bytes;
    return true;
  }
  void give_body_bytes(int64_t bytes) override { body_bytes_ -= bytes; }
  bool draining() const override { return draining_; }
  void closed(Connection& connection) override {
    connections_.erase(connection.shared_from_this());
    stop_if_done();
  }

 private:
  void admit(Socket socket) {
    auto transport =
        tls_ ? tls_transport(std::move(socket), *tls_) : plain_transport(std::move(socket));
    auto connection =
        std::make_shared<Connection>(*this, io_, std::move(transport), options_.limits);
    const auto count = static_cast<int64_t>(connections_.size());
    // Beyond twice the limit not even a refusal is worth a socket.
    if (count >= 2 * options_.limits.connections) return;
    connections_.insert(connection);
    if (count < options_.limits.connections) return connection->start();
    connection->turn_away("too many connections are open");
  }

  // A handler that throws has lost its own connection's work, never the server's.
  void run_io() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        log::error("http event=handler_failed error=\"{}\"", error.what());
      }
    }
  }

  // Ends what is in flight with an error and leaves a moment for it to be sent.
  void end_requests() {
    constexpr double kLastWords = 1;
    for (const auto& connection : snapshot()) connection->abort();
    after(kLastWords, [this] { abort(); });
    stop_if_done();
  }

  void stop_if_done() {
    if (!draining_ || !connections_.empty()) return;
    error_code ignored;
    signals_.cancel(ignored);
    timer_.cancel();
  }

  void after(double seconds, std::function<void()> then) {
    const std::chrono::duration<double> span(seconds);
    timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(span));
    timer_.async_wait([then = std::move(then)](const error_code& error) {
      if (!error) then();
    });
  }

  void await_signal() {
    if (signal_ == 0) {
      signals_.add(SIGINT);
      signals_.add(SIGTERM);
    }
    signals_.async_wait([this](const error_code& error, int number) {
      if (error) return;
      const bool first = signal_ == 0;
      if (first) signal_ = number;
      log::info("http event=signal number={} action={}", number, first ? "drain" : "abort");
      if (!first) return abort();
      await_signal();
      drain();
    });
  }

  // Connections leave the set while they are told to.
  std::vector<std::shared_ptr<Connection>> snapshot() const {
    return {connections_.begin(), connections_.end()};
  }

  const HttpOptions options_;
  asio::io_context io_{1};
  std::shared_ptr<IoPost> post_;
  std::unique_ptr<asio::ssl::context> tls_;
  Listener listener_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  Metrics metrics_;
  Router router_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  int64_t body_bytes_ = 0;
  std::atomic<bool> draining_{false};  // read by other threads
  int signal_ = 0;
};

namespace {

HttpOptions checked(HttpOptions options) {
  options.validate();
  return options;
}

}  // namespace

HttpServer::HttpServer(HttpOptions options, Backend& backend, const Clock& clock)
    : core_(std::make_unique<Core>(checked(std::move(options)), backend, clock)) {}

HttpServer::~HttpServer() {
  abort();
  wait();
}

void HttpServer::start() {
  thread_ = std::thread([core = core_.get()] {
    pthread_setname_np(pthread_self(), "http");
    core->run();
  });
}

uint16_t HttpServer::port() const { return core_->port(); }
std::string HttpServer::url() const { return core_->url(); }

void HttpServer::drain() {
  core_->post().post([core = core_.get()] { core->drain(); });
}

void HttpServer::abort() {
  core_->post().post([core = core_.get()] { core->abort(); });
}

bool HttpServer::stopping() const { return core_->draining(); }

int HttpServer::wait() {
  if (thread_.joinable()) thread_.join();
  return core_->signal();
}

}  // namespace ashlar::serve
