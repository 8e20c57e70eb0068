#include "ashlar/sim/processor.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <utility>

namespace ashlar::sim {

Processor::Processor(Simulator& simulator, double cores) : simulator_(simulator), cores_(cores) {
  ASHLAR_CHECK(cores > 0, "processor: {} cores", cores);
}

void Processor::submit(double seconds, Simulator::Action done) {
  ASHLAR_CHECK(seconds >= 0, "processor: a job of {} s", seconds);
  if (cores_ == kEnough) return simulator_.after(seconds, std::move(done));
  catch_up();
  jobs_.push_back({seconds, submitted_++, std::move(done)});
  expect_next();
}

double Processor::speed() const {
  return std::min(1.0, cores_ / static_cast<double>(jobs_.size()));
}

void Processor::catch_up() {
  const double done = (simulator_.now() - since_) * (jobs_.empty() ? 0 : speed());
  for (Job& job : jobs_) job.left = std::max(0.0, job.left - done);
  since_ = simulator_.now();
}

void Processor::expect_next() {
  if (jobs_.empty()) return;
  const Job& next = *std::ranges::min_element(jobs_, {}, &Job::left);
  simulator_.after(next.left / speed(), [this, expected = ++expected_, order = next.order] {
    if (expected != expected_) return;  // jobs have come since
    catch_up();
    // What rounding leaves of the job whose end this is.
    for (Job& job : jobs_) {
      if (job.order == order) job.left = 0;
    }
    end_finished();
  });
}

void Processor::end_finished() {
  std::vector<Job> ended;
  std::erase_if(jobs_, [&](Job& job) {
    if (job.left > 0) return false;
    ended.push_back(std::move(job));
    return true;
  });
  expect_next();
  for (Job& job : ended) job.done();
}

}  // namespace ashlar::sim
