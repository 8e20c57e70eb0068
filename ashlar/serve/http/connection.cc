#include "ashlar/serve/http/connection.h"

#include "ashlar/base/log.h"
#include "ashlar/serve/http/random_id.h"

#include <exception>
#include <utility>

namespace ashlar::serve {

using boost::system::error_code;

namespace {

ApiError busy_error(const std::string& why) {
  return {503, "server_error", "server_busy", "", why + "; try again soon", 1};
}

}  // namespace

Connection::Connection(ConnectionHost& host, boost::asio::io_context& io,
                       std::unique_ptr<Transport> transport, const HttpLimits& limits)
    : host_(host),
      limits_(limits),
      transport_(std::move(transport)),
      reader_(limits),
      deadline_(io),
      stall_(io),
      ping_(io) {}

void Connection::start() {
  wait_ = Wait::kFirst;
  arm(deadline_, limits_.header_s, &Connection::on_deadline);
  transport_->handshake([self = shared_from_this()](const error_code& error, size_t) {
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->close();
    self->advance();
  });
}

void Connection::turn_away(const std::string& why) {
  arm(deadline_, limits_.header_s, &Connection::on_deadline);
  transport_->handshake([self = shared_from_this(), why](const error_code& error, size_t) {
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->close();
    self->refuse(busy_error(why));
  });
}

void Connection::drain() {
  keep_alive_ = false;
  if (phase_ == Phase::kReading && !reader_.started()) close();
}

void Connection::abort() {
  keep_alive_ = false;
  if (phase_ != Phase::kAnswering || answer_complete_) return close();
  if (const auto activity = activity_) activity->shut_down();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  constexpr int kClientLeft = 499;
  if (phase_ == Phase::kAnswering) report(answer_complete_ ? status_ : kClientLeft);
  phase_ = Phase::kClosed;
  const auto self = shared_from_this();
  if (const auto activity = std::exchange(activity_, nullptr)) activity->client_gone();
  release_body_bytes();
  disarm(deadline_);
  disarm(stall_);
  disarm(ping_);
  transport_->close();
  host_.closed(*this);
}

// A timer's handler may be on its way when the timer is armed anew; the expiry tells.
void Connection::arm(Timer& timer, double seconds, void (Connection::*expired)()) {
  const auto span = std::chrono::duration<double>(seconds);
  timer.expires_after(std::chrono::duration_cast<Timer::duration>(span));
  timer.async_wait([self = shared_from_this(), &timer, expired](const error_code& error) {
    if (error || self->phase_ == Phase::kClosed) return;
    if (timer.expiry() <= std::chrono::steady_clock::now()) (self.get()->*expired)();
  });
}

void Connection::disarm(Timer& timer) { timer.expires_at(Timer::time_point::max()); }

void Connection::advance() {
  while (phase_ == Phase::kReading) {
    switch (reader_.advance()) {
      case RequestReader::State::kNeedMore:
        return await_bytes();
      case RequestReader::State::kHeader:
        on_header();
        break;
      case RequestReader::State::kMessage:
        on_message();
        break;
      case RequestReader::State::kFailed:
        refuse(reader_.error());
        break;
    }
  }
}

// A deadline covers a whole header or body: bytes that trickle in do not move it.
void Connection::await_bytes() {
  Wait wait = Wait::kIdle;
  if (reader_.header_done()) {
    wait = Wait::kBody;
  } else if (reader_.started()) {
    wait = Wait::kHeader;
  } else if (host_.draining()) {
    return close();
  } else if (first_request_) {
    wait = Wait::kFirst;
  }
  if (wait == Wait::kHeader && wait_ == Wait::kFirst) wait = Wait::kFirst;
  if (wait != wait_) {
    wait_ = wait;
    const double seconds = wait == Wait::kBody   ? limits_.body_s
                           : wait == Wait::kIdle ? limits_.idle_s
                                                 : limits_.header_s;
    arm(deadline_, seconds, &Connection::on_deadline);
  }
  read();
}

void Connection::read() {
  if (reading_) return;
  reading_ = true;
  transport_->read_some(input_, [self = shared_from_this()](const error_code& error, size_t bytes) {
    self->on_read(error, bytes);
  });
}

void Connection::on_read(const error_code& error, size_t bytes) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) return on_read_end();
  if (phase_ == Phase::kLingering) return read();  // and forget what came
  reader_.append({input_.data(), bytes});
  if (phase_ == Phase::kReading) {
    if (reader_.header_done()) {
      const auto count = static_cast<int64_t>(bytes);
      if (!host_.take_body_bytes(count)) {
        return refuse(busy_error("too many request bodies are being read at once"));
      }
      body_bytes_ += count;
    }
    advance();
  } else if (static_cast<int64_t>(reader_.buffered()) < limits_.read_ahead_bytes) {
    read();
  }
}

void Connection::on_header() {
  HttpRequest& request = current();
  first_request_ = false;
  began_ = std::chrono::steady_clock::now();
  const std::string_view sent_id = request.header("x-request-id");
  request.id = acceptable_id(sent_id) ? std::string(sent_id) : random_id("req-");
  keep_alive_ = keep_alive_ && request.keep_alive && !host_.draining();
  if (auto response = host_.screen(request)) {
    // A body that was not read cannot be told from a next request.
    keep_alive_ = keep_alive_ && reader_.message_done();
    begin_answer();
    respond(*std::move(response));
    if (phase_ == Phase::kAnswering) read();
    return;
  }
  if (reader_.expects_continue()) write("HTTP/1.1 100 Continue\r\n\r\n");
}

void Connection::on_message() {
  begin_answer();
  release_body_bytes();
  try {
    host_.handle(*this);
  } catch (const RequestError& error) {
    respond(error_response(api_error(error.fault())));
  } catch (const std::exception& error) {
    log::error("http request={} path={} error=\"{}\"", current().id, current().path, error.what());
    respond(error_response(api_error({FaultKind::kInternal, "internal error", "", 0})));
  }
  // A read stays pending while the answer is made: its end is how we learn that the client left.
  if (phase_ == Phase::kAnswering) read();
}

void Connection::on_deadline() {
  if (phase_ == Phase::kLingering || !reader_.started()) return close();
  const bool body = reader_.header_done();
  refuse(
      client_error(408, "request_timeout",
                   fmt::format("the request's {} took longer than {} s", body ? "body" : "header",
                               body ? limits_.body_s : limits_.header_s)));
}

// Answers before the request was read to its end; nothing more can come on this connection.
void Connection::refuse(const ApiError& error) {
  HttpRequest& request = current();
  if (request.id.empty()) {
    request.id = random_id("req-");
    began_ = std::chrono::steady_clock::now();
  }
  keep_alive_ = false;
  begin_answer();
  respond(error_response(error));
}

void Connection::on_read_end() {
  if (phase_ == Phase::kAnswering && answer_complete_) {
    keep_alive_ = false;  // it may have closed its sending side only: let it have the answer
  } else {
    close();
  }
}

void Connection::begin_answer() {
  wait_ = Wait::kNothing;
  disarm(deadline_);
  phase_ = Phase::kAnswering;
}

// Closing with unread input would make the system discard the answer on its way to the client.
void Connection::linger() {
  phase_ = Phase::kLingering;
  arm(deadline_, limits_.linger_s, &Connection::on_deadline);
  transport_->finish_sending([self = shared_from_this()](const error_code&, size_t) {});
  read();
}

void Connection::release_body_bytes() {
  if (body_bytes_ > 0) host_.give_body_bytes(std::exchange(body_bytes_, 0));
}

}  // namespace ashlar::serve
