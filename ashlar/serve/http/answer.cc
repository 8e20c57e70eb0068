// The answering half of Connection: responses, streams, and the writing of bytes.
#include "ashlar/base/log.h"
#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/protocol/errors.h"

#include <utility>

namespace ashlar::serve {

using boost::system::error_code;

HttpResponse error_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.body = error_body(error);
  if (error.retry_after_s > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  }
  return response;
}

// Adds what every response carries.
HttpResponse Connection::complete(HttpResponse response) {
  response.headers.emplace_back("x-request-id", current().id);
  for (auto& header : host_.headers_for(current())) response.headers.push_back(std::move(header));
  status_ = response.status;
  return response;
}

void Connection::respond(HttpResponse response) {
  if (phase_ != Phase::kAnswering || status_ != 0) return;
  const HttpResponse full = complete(std::move(response));
  std::string bytes = response_head(full, keep_alive_, false);
  if (current().method != "HEAD") bytes += full.body;
  finish_answer();
  write(std::move(bytes));
}

void Connection::open_stream(HttpHeaders headers) {
  if (phase_ != Phase::kAnswering || status_ != 0) return;
  HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = std::move(headers);
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.headers.emplace_back("X-Accel-Buffering", "no");  // proxies: pass pieces on at once
  const bool chunked = current().chunked_answers;
  if (chunked) {
    response.headers.emplace_back("Transfer-Encoding", "chunked");
  } else {
    keep_alive_ = false;  // HTTP/1.0: the end of the connection is the end of the body
  }
  streaming_ = true;
  const HttpResponse full = complete(std::move(response));
  write(response_head(full, keep_alive_, true));
  arm(ping_, limits_.ping_s, &Connection::on_ping);
}

void Connection::send(std::string_view data) {
  if (phase_ != Phase::kAnswering || !streaming_ || answer_complete_ || data.empty()) return;
  sent_since_ping_ = true;
  write(current().chunked_answers ? chunk_frame(data) : std::string(data));
  if (static_cast<int64_t>(pending_.size()) > limits_.stream_backlog_bytes) {
    log::warn("http request={} event=dropped reason=\"the client reads too slowly\"", current().id);
    close();
  }
}

void Connection::end_stream() {
  if (phase_ != Phase::kAnswering || !streaming_ || answer_complete_) return;
  disarm(ping_);
  finish_answer();
  write(current().chunked_answers ? std::string(kLastChunk) : std::string());
}

void Connection::finish_answer() {
  answer_complete_ = true;
  activity_.reset();
}

// When the last byte of an answer is with the system.
void Connection::next_request() {
  report(status_);
  status_ = 0;
  streaming_ = false;
  answer_complete_ = false;
  sent_since_ping_ = false;
  answer_bytes_ = 0;
  release_body_bytes();
  if (!keep_alive_) return linger();
  phase_ = Phase::kReading;
  wait_ = Wait::kNothing;
  reader_.next();
  advance();
}

void Connection::write(std::string bytes) {
  if (pending_.empty()) {
    pending_ = std::move(bytes);
  } else {
    pending_ += bytes;
  }
  flush();
}

void Connection::flush() {
  if (!in_flight_.empty()) return;
  if (pending_.empty()) {
    if (phase_ == Phase::kAnswering && answer_complete_) next_request();
    return;
  }
  in_flight_.swap(pending_);
  written_ = 0;
  write_rest();
}

void Connection::write_rest() {
  arm(stall_, limits_.write_stall_s, &Connection::on_stall);
  transport_->write_some(std::string_view(in_flight_).substr(written_),
                         [self = shared_from_this()](const error_code& error, size_t bytes) {
                           self->on_written(error, bytes);
                         });
}

void Connection::on_written(const error_code& error, size_t bytes) {
  if (phase_ == Phase::kClosed) return;
  if (error) return close();
  written_ += bytes;
  answer_bytes_ += static_cast<int64_t>(bytes);
  if (written_ < in_flight_.size()) return write_rest();
  in_flight_.clear();
  disarm(stall_);
  flush();
}

void Connection::on_stall() {
  log::warn("http request={} event=dropped reason=\"the client takes no bytes\"", current().id);
  close();
}

void Connection::on_ping() {
  if (!streaming_ || answer_complete_) return;
  if (!std::exchange(sent_since_ping_, false)) {
    if (const auto activity = activity_) activity->stream_quiet();
    sent_since_ping_ = false;
  }
  if (streaming_ && !answer_complete_ && phase_ == Phase::kAnswering) {
    arm(ping_, limits_.ping_s, &Connection::on_ping);
  }
}

void Connection::report(int status) {
  const auto spent = std::chrono::steady_clock::now() - began_;
  host_.answered({current(), status, std::chrono::duration<double>(spent).count(), answer_bytes_});
}

}  // namespace ashlar::serve
