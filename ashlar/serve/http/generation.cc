#include "ashlar/serve/http/generation.h"

#include "ashlar/base/log.h"
#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/http/event_queue.h"
#include "ashlar/serve/http/random_id.h"
#include "ashlar/serve/http/sse.h"
#include "ashlar/serve/protocol/logprob_text.h"
#include "ashlar/serve/protocol/status.h"

#include <ctime>
#include <iterator>
#include <utility>

namespace ashlar::serve {
namespace {

class Generation : public Activity, public std::enable_shared_from_this<Generation> {
 public:
  Generation(const ApiParts& parts, Exchange& exchange, GenerateCall call)
      : backend_(parts.backend),
        metrics_(parts.metrics),
        clock_(parts.clock),
        exchange_(exchange),
        format_(std::move(call.format)),
        stream_(call.stream),
        began_(clock_.now()),
        request_(std::move(call.request)),
        choices_(static_cast<size_t>(request_.choices())) {
    const ModelInfo model = find_model(backend_, call.model);
    head_ = {random_id(format_->id_prefix()), model.id, std::time(nullptr),
             fingerprint(model.weight_version)};
    weight_version_ = model.weight_version;
    record_.n = request_.n;
    record_.max_tokens = request_.max_tokens;
    request_.request_id = exchange.request().id;
  }

  void submit(std::shared_ptr<IoPost> post) {
    auto sink = std::make_shared<EventQueue>(std::move(post),
                                             [weak = weak_from_this()](std::vector<Event> events) {
                                               if (const auto self = weak.lock())
                                                 self->on_events(events);
                                             });
    id_ = backend_.submit(std::move(request_), std::move(sink));
    running_ = true;
  }

  void client_gone() override { cancel(); }

  void shut_down() override {
    cancel();
    answer_fault(
        {FaultKind::kShuttingDown, "the server shut down before the answer was complete", "", 1});
  }

  void stream_quiet() override { exchange_.send(kSsePing); }

 private:
  struct State {
    Choice result;           // gathered when not streaming
    int64_t characters = 0;  // sent
    double last_token = -1;  // when; -1: none yet
  };

  void cancel() {
    if (!std::exchange(running_, false)) return;
    backend_.cancel(id_);
    metrics_.aborted();
  }

  void on_events(std::vector<Event>& events) {
    try {
      for (Event& event : events) {
        if (!running_) break;
        std::visit([this](auto& data) { on(data); }, event);
      }
      flush();
    } catch (const std::exception& error) {  // a backend's broken promise, or memory
      log::error("http request={} error=\"{}\"", exchange_.request().id, error.what());
      cancel();
      answer_fault({FaultKind::kInternal, "internal error", "", 0});
    }
  }

  void on(Accepted& accepted) {
    if (!accepted.weight_version.empty()) {
      weight_version_ = accepted.weight_version;
      head_.fingerprint = fingerprint(weight_version_);
    }
    if (!stream_) return;
    open_ = true;
    exchange_.open_stream(version_headers());
    for (size_t i = 0; i < choices_.size(); ++i) {
      add_chunk(format_->opening(head_, static_cast<int>(i)));
    }
  }

  void on(Delta& delta) {
    State& state = choices_.at(static_cast<size_t>(delta.choice));
    observe(state);
    if (stream_) {
      const bool visible = !delta.text.empty() || !delta.logprobs.empty() ||
                           (format_->options().return_token_ids && !delta.ids.empty());
      if (!visible) return;
      add_chunk(format_->piece(head_, delta, state.characters));
      // Offsets are of tokens; where these are not known, of the text.
      if (delta.logprobs.empty()) state.characters += count_characters(delta.text);
      for (const Logprob& entry : delta.logprobs) {
        state.characters += count_characters(entry.bytes);
      }
      return;
    }
    Choice& result = state.result;
    result.text += delta.text;
    result.ids.insert(result.ids.end(), delta.ids.begin(), delta.ids.end());
    result.logprobs.insert(result.logprobs.end(), std::make_move_iterator(delta.logprobs.begin()),
                           std::make_move_iterator(delta.logprobs.end()));
  }

  void on(ChoiceEnd& end) {
    choices_.at(static_cast<size_t>(end.choice)).result.reason = end.reason;
    record_.reasons.push_back(end.reason);
    if (stream_) add_chunk(format_->ending(head_, end.choice, end.reason));
  }

  void on(Done& done) {
    running_ = false;
    record_.usage = done.usage;
    record_.timings = done.timings;
    record_.seconds = clock_.now() - began_;
    metrics_.finished(record_);
    if (!stream_) return answer_whole(done.usage);
    if (format_->options().include_usage) add_chunk(format_->usage(head_, done.usage));
    chunks_ += kSseDone;
    flush();
    exchange_.end_stream();
  }

  void on(Failed& failed) {
    running_ = false;
    metrics_.failed();
    answer_fault(failed.fault);
  }

  void answer_whole(const Usage& usage) {
    std::vector<Choice> results;
    for (State& state : choices_) results.push_back(std::move(state.result));
    HttpResponse response;
    response.body = format_->whole(head_, results, usage);
    response.headers = version_headers();
    exchange_.respond(std::move(response));
  }

  HttpHeaders version_headers() const {
    if (weight_version_.empty()) return {};
    return {{"x-weight-version", weight_version_}};
  }

  // Before the stream is open an error has a status; afterwards it is an event, and no [DONE]
  // comes.
  void answer_fault(const Fault& fault) {
    const ApiError error = api_error(fault);
    if (!open_) return exchange_.respond(error_response(error));
    add_chunk(error_body(error));
    flush();
    exchange_.end_stream();
  }

  void observe(State& state) {
    const double now = clock_.now();
    if (!std::exchange(first_seen_, true)) metrics_.first_token(now - began_);
    if (state.last_token >= 0) metrics_.between_tokens(now - state.last_token);
    state.last_token = now;
  }

  void add_chunk(const std::string& json) {
    if (!json.empty()) append_sse(chunks_, json);
  }

  // What gathered during one hand-over goes out in one write.
  void flush() {
    if (!chunks_.empty()) exchange_.send(std::exchange(chunks_, ""));
  }

  Backend& backend_;
  Metrics& metrics_;
  const Clock& clock_;
  Exchange& exchange_;  // outlives its activity
  const std::unique_ptr<AnswerFormat> format_;
  const bool stream_;
  const double began_;
  GenerateRequest request_;  // until it is submitted
  AnswerHead head_;
  std::string weight_version_;
  std::vector<State> choices_;
  GenerationRecord record_;
  RequestId id_ = 0;
  bool running_ = false;  // the backend works on it
  bool open_ = false;     // the stream's header is out
  bool first_seen_ = false;
  std::string chunks_;
};

}  // namespace

void start_generation(const ApiParts& parts, Exchange& exchange, GenerateCall call) {
  const auto generation = std::make_shared<Generation>(parts, exchange, std::move(call));
  generation->submit(parts.post);
  exchange.attach(generation);
}

}  // namespace ashlar::serve
