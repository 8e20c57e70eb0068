// Open MPI's C interface. Errors come back as codes and become Errors.
#include "ashlar/comm/mpi.h"

#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/comm/message_communicator.h"
#include "ashlar/comm/mpi_transport.h"

#include <mpi.h>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

namespace ashlar::comm {
namespace {

void check(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  fail("{}: MPI says: {}", what, std::string_view(text.data(), static_cast<size_t>(length)));
}

// Between ranks that wait: "whom do you wait for?", and what is said to it.
constexpr int kQuestion = Transport::kTags, kAnswer = kQuestion + 1;
struct Answer {
  int rank = -1;
  std::array<char, 252> what{};  // cut if longer
};

struct MpiRequest final : Transport::Request {
  MpiRequest(int p, size_t b, std::string_view o, bool r)
      : peer(p), bytes(b), what(o), receives(r) {}
  ~MpiRequest() override {
    if (request == MPI_REQUEST_NULL) return;
    if (receives) MPI_Cancel(&request);
    MPI_Request_free(&request);  // on the way to ending the job
  }

  MPI_Request request = MPI_REQUEST_NULL;
  int peer;
  size_t bytes;
  std::string_view what;
  bool receives;
};

// Prints why and ends all ranks.
[[noreturn]] void end_job(int rank, std::string_view message, int exit_code) {
  fmt::print(stderr, "rank {} on {}: {}\n", rank, host_name(), message);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();  // MPI_Abort does not return
}

}  // namespace

MpiTransport::MpiTransport(MPI_Comm job) {
  check(MPI_Comm_dup(job, &comm_), "mpi: duplicating the communicator");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  int found = 0;
  void* limit = nullptr;
  MPI_Comm_get_attr(comm_, MPI_TAG_UB, &limit, &found);
  const int largest = found != 0 ? *static_cast<int*>(limit) : 0;
  ASHLAR_CHECK(largest >= kAnswer,
               "mpi: tags reach {}, wanted {}: use another MPI transport (--mca pml ob1)", largest,
               kAnswer);
}

MpiTransport::~MpiTransport() { MPI_Comm_free(&comm_); }

std::unique_ptr<Transport::Request> MpiTransport::send(int to, int tag, const std::byte* data,
                                                       size_t bytes, std::string_view what) {
  auto request = std::make_unique<MpiRequest>(to, bytes, what, false);
  check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, comm_, &request->request),
        what);
  return request;
}

std::unique_ptr<Transport::Request> MpiTransport::recv(int from, int tag, std::byte* data,
                                                       size_t bytes, std::string_view what) {
  auto request = std::make_unique<MpiRequest>(from, bytes, what, true);
  check(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, tag, comm_, &request->request),
        what);
  return request;
}

bool MpiTransport::done(Request& base) {
  auto& request = static_cast<MpiRequest&>(base);
  int done = 0;
  MPI_Status status;
  const int code = MPI_Test(&request.request, &done, &status);
  int received = 0;
  if (code == MPI_SUCCESS && done != 0 && request.receives)
    MPI_Get_count(&status, MPI_BYTE, &received);
  const bool wrong =
      request.receives && done != 0 && static_cast<size_t>(received) != request.bytes;
  int kind = MPI_SUCCESS;
  if (code != MPI_SUCCESS) MPI_Error_class(code, &kind);
  ASHLAR_CHECK(kind != MPI_ERR_TRUNCATE && !wrong,
               "{}: rank {} sends {}, wanted {} bytes: the ranks disagree about the order or the "
               "size of operations",
               request.what, request.peer, wrong ? fmt::format("{}", received) : "more",
               request.bytes);
  check(code, request.what);
  if (done != 0) idle_ = 0;
  return done != 0;
}

// MPI has no wait that sleeps. First let others have the core: an answer is often near. Then sleep,
// longer and longer up to half a millisecond, so that ranks beyond the cores cost nothing.
void MpiTransport::sleep(uint64_t, double seconds) {
  constexpr int kYields = 200;
  constexpr double kShortest = 20e-6, kLongest = 500e-6;
  if (++idle_ <= kYields) {
    ::sched_yield();
    return;
  }
  answer();
  const double pause = std::min({kShortest * (idle_ - kYields), kLongest, seconds});
  std::this_thread::sleep_for(std::chrono::duration<double>(pause));
}

// Only ranks that wait answer. An answer is small enough to leave before it is received.
void MpiTransport::answer() {
  int asked = 0;
  MPI_Status status;
  check(MPI_Iprobe(MPI_ANY_SOURCE, kQuestion, comm_, &asked, &status), "mpi: a question");
  if (asked == 0) return;
  MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, kQuestion, comm_, MPI_STATUS_IGNORE);
  Answer answer{wait_.rank, {}};
  wait_.what.copy(answer.what.data(), answer.what.size() - 1);
  MPI_Send(&answer, sizeof(answer), MPI_BYTE, status.MPI_SOURCE, kAnswer, comm_);
}

Transport::Wait MpiTransport::ask(int rank) {
  constexpr auto kPatience = std::chrono::milliseconds(500);
  constexpr std::string_view kWhat = "mpi: asking a rank whom it waits for";
  Answer said;  // outlives the request for it
  MpiRequest question(rank, 0, kWhat, false), reply(rank, sizeof(Answer), kWhat, true);
  check(MPI_Irecv(&said, sizeof(said), MPI_BYTE, rank, kAnswer, comm_, &reply.request), kWhat);
  check(MPI_Isend(nullptr, 0, MPI_BYTE, rank, kQuestion, comm_, &question.request), kWhat);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (done(reply)) return {said.rank, said.what.data()};
    answer();  // others ask at the same time
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return {};
}

bool built_with_mpi() { return true; }

int run_mpi_rank(const std::function<void(Communicator&)>& f, const CommOptions& options) {
  int provided = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "mpi: starting");
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  try {
    ASHLAR_CHECK(provided >= MPI_THREAD_FUNNELED,
                 "mpi: this MPI allows no threads beside it (MPI_THREAD_FUNNELED): use another");
    MpiTransport transport(MPI_COMM_WORLD);
    MessageCommunicator communicator(transport, options);
    f(communicator);
    // MPI_Finalize waits for all, spinning and for ever; this wait sleeps and has a limit.
    communicator.barrier(communicator.world(), "end of the job");
  } catch (const Error& error) {
    end_job(rank, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    end_job(rank, error.what(), 1);
  }
  MPI_Finalize();
  return 0;
}

}  // namespace ashlar::comm
