#include "core/worker_pool.h"

namespace cddp {

WorkerPool::WorkerPool(int threads) {
  for (int worker = 1; worker < threads; ++worker) {
    threads_.emplace_back([this, worker] { Loop(worker); });
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Run(const std::function<void(int)>& work) {
  if (!threads_.empty()) {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    running_ = threads_.size();
    ++round_;
    changed_.notify_all();
  }
  work(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
}

void WorkerPool::Loop(int worker) {
  uint64_t done = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || round_ != done; });
    if (stop_) return;
    done = round_;
    const std::function<void(int)>& work = *work_;
    lock.unlock();
    work(worker);
    lock.lock();
    if (--running_ == 0) changed_.notify_all();
  }
}

}  // namespace cddp
