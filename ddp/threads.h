// Threads as the engine needs them: scheduled as batch work, and such that can be left behind.
#pragma once

#include <sched.h>

#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>

namespace cddp {

// While it lives, threads that the calling one starts are scheduled as batch work: when one
// can run, whoever runs goes on until it waits or its turn is over.
class StartBatchThreads {
 public:
  StartBatchThreads() : policy_(sched_getscheduler(0)) {
    if (policy_ == SCHED_OTHER) Set(SCHED_BATCH);
  }
  ~StartBatchThreads() {
    if (policy_ == SCHED_OTHER) Set(SCHED_OTHER);
  }
  StartBatchThreads(const StartBatchThreads&) = delete;
  StartBatchThreads& operator=(const StartBatchThreads&) = delete;

 private:
  // Where it is forbidden all stays as it was.
  static void Set(int policy) {
    const sched_param none{};
    sched_setscheduler(0, policy, &none);
  }

  const int policy_;
};

// Whether `work`, on a thread of its own, has ended within `patience`; throws what it throws. If
// not, the thread is left behind: `work` must own what it uses.
inline bool EndsWithin(std::chrono::milliseconds patience, std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> end = task.get_future();
  std::thread thread(std::move(task));
  if (end.wait_for(patience) != std::future_status::ready) {
    thread.detach();
    return false;
  }
  thread.join();
  end.get();
  return true;
}

}  // namespace cddp
