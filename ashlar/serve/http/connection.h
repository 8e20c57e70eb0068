// One client's connection: reads requests one after the other, has each answered, and ends on a
// time-out, an error, or when the client goes away, which is noticed at once because a read is
// always pending. Lives on the HTTP thread; kept alive by its pending operations.
#pragma once

#include "ashlar/serve/http/exchange.h"
#include "ashlar/serve/http/options.h"
#include "ashlar/serve/http/request_reader.h"
#include "ashlar/serve/http/transport.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace ashlar::serve {

class Connection;

struct Answered {  // for logs and metrics
  const HttpRequest& request;
  int status;  // 499: the client went away first
  double seconds;
  int64_t bytes;
};

// What a connection asks of its server.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // Looks at a header before its body is read; a response ends the request there.
  virtual std::optional<HttpResponse> screen(HttpRequest& head) = 0;
  virtual void handle(Exchange& exchange) = 0;  // may throw
  virtual HttpHeaders headers_for(const HttpRequest& request) = 0;
  virtual void answered(const Answered& answered) = 0;
  virtual bool take_body_bytes(int64_t bytes) = 0;  // false: too many bodies are being read
  virtual void give_body_bytes(int64_t bytes) = 0;
  virtual bool draining() const = 0;
  virtual void closed(Connection& connection) = 0;
};

class Connection : public Exchange, public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionHost& host, boost::asio::io_context& io,
             std::unique_ptr<Transport> transport, const HttpLimits& limits);

  void start();
  // Answers 503 to whoever connected and goes.
  void turn_away(const std::string& why);
  void drain();  // closes when the current request, if any, is answered
  void abort();  // ends the current request with an error
  void close();

  const HttpRequest& request() const override { return reader_.request(); }
  void respond(HttpResponse response) override;
  void open_stream(HttpHeaders headers) override;
  void send(std::string_view data) override;
  void end_stream() override;
  void attach(std::shared_ptr<Activity> activity) override { activity_ = std::move(activity); }

 private:
  enum class Phase { kReading, kAnswering, kLingering, kClosed };
  enum class Wait { kNothing, kFirst, kIdle, kHeader, kBody };  // what the deadline is for
  using Timer = boost::asio::steady_timer;
  HttpRequest& current() { return reader_.request(); }

  // connection.cc: life cycle and reading
  void arm(Timer& timer, double seconds, void (Connection::*expired)());
  void disarm(Timer& timer);
  void advance();
  void await_bytes();
  void read();
  void on_read(const boost::system::error_code& error, size_t bytes);
  void on_header();
  void on_message();
  void on_deadline();
  void refuse(const ApiError& error);
  void on_read_end();
  void begin_answer();
  void linger();
  void release_body_bytes();

  // answer.cc: answering and writing
  HttpResponse complete(HttpResponse response);
  void finish_answer();
  void next_request();
  void write(std::string bytes);
  void flush();
  void write_rest();
  void on_written(const boost::system::error_code& error, size_t bytes);
  void on_stall();
  void on_ping();
  void report(int status);

  ConnectionHost& host_;
  const HttpLimits& limits_;
  std::unique_ptr<Transport> transport_;
  RequestReader reader_;
  std::shared_ptr<Activity> activity_;

  Phase phase_ = Phase::kReading;
  Wait wait_ = Wait::kNothing;
  bool first_request_ = true;
  bool keep_alive_ = true;
  bool reading_ = false;
  int64_t body_bytes_ = 0;  // taken from the host
  std::array<char, 16 << 10> input_;

  int status_ = 0;  // of the answer begun; 0: none
  bool streaming_ = false;
  bool answer_complete_ = false;
  bool sent_since_ping_ = false;
  std::string pending_;    // to be written
  std::string in_flight_;  // being written
  size_t written_ = 0;     // of in_flight_
  int64_t answer_bytes_ = 0;
  std::chrono::steady_clock::time_point began_;

  Timer deadline_;  // of reading and lingering
  Timer stall_;     // of writing
  Timer ping_;
};

// An error as a response.
HttpResponse error_response(const ApiError& error);

}  // namespace ashlar::serve
