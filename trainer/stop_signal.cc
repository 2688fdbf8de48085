#include "trainer/stop_signal.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

namespace cddp {
namespace {

std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a handler may use it");

void Note(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
}

}  // namespace

StopSignal::StopSignal() {
  struct sigaction action {};
  action.sa_handler = Note;
  // Nothing that the libraries wait for ends early.
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, &term_before_);
  sigaction(SIGUSR1, &action, &usr1_before_);
}

StopSignal::~StopSignal() {
  sigaction(SIGTERM, &term_before_, nullptr);
  sigaction(SIGUSR1, &usr1_before_, nullptr);
}

int StopSignal::received() { return first_signal; }

int StopAgreement::AfterStep(bool now) {
  if (++steps_ < every_ && !now) return 0;
  const auto start = Clock::now();
  const double step_s =
      std::chrono::duration<double>(start - last_).count() / static_cast<double>(steps_);
  const int own = StopSignal::received();
  std::vector<double> counts{own == SIGTERM ? 1.0 : 0.0, own == SIGUSR1 ? 1.0 : 0.0};
  world_.Sum(counts);
  last_ = Clock::now();
  const double asking_s = std::chrono::duration<double>(last_ - start).count();
  const double wait_s = std::clamp(50 * asking_s, 1.0, 10.0);
  // Rank 0's number, for clocks differ.
  every_ = world_.AgreeOnNumber(static_cast<uint64_t>(std::clamp(wait_s / step_s, 1.0, 1e6)));
  steps_ = 0;
  if (counts[0] > 0) return SIGTERM;
  return counts[1] > 0 ? SIGUSR1 : 0;
}

}  // namespace cddp
