// Threads that wait for work on one parameter at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cddp {

// One owner at a time.
class WorkerPool {
 public:
  // The caller of Run is one of the `threads` workers (at least 1). Throws std::system_error
  // when the system starts no more threads.
  explicit WorkerPool(int threads);
  ~WorkerPool();

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Runs work(worker) on each worker, 0 being the caller; returns when all are done,
  // or throws the first exception of one of them then.
  void Run(const std::function<void(int)>& work);

 private:
  void Stop();
  void Loop(int worker);
  void Work(const std::function<void(int)>& work, int worker);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* work_ = nullptr;
  uint64_t round_ = 0;
  size_t running_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace cddp
