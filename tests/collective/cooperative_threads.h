// Threads of which exactly one runs at a time, in the order that a scheduler says: what
// they do depends on no clock and no operating system. They are kept for the next run.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

namespace cddp {

class CooperativeThreads {
 public:
  explicit CooperativeThreads(int threads) {
    for (int t = 0; t < threads; ++t) workers_.push_back(std::make_unique<Worker>());
    for (auto& worker : workers_) {
      worker->thread = std::thread([this, self = worker.get()] { Loop(self); });
    }
  }

  // All programs must have ended.
  ~CooperativeThreads() {
    closing_ = true;
    for (auto& worker : workers_) {
      worker->turn.release();
      worker->thread.join();
    }
  }

  // What thread `index` does from its next turn on. Its program before must have ended.
  void Assign(int index, std::function<void()> program) { At(index).program = std::move(program); }
  bool ended(int index) { return !At(index).program; }

  // The scheduler waits while thread `index` runs, until its program yields or ends.
  void Run(int index) {
    At(index).turn.release();
    scheduler_.acquire();
  }

  // Called by the program of thread `index`: waits for its next turn.
  void Yield(int index) {
    scheduler_.release();
    At(index).turn.acquire();
  }

 private:
  struct Worker {
    std::binary_semaphore turn{0};
    std::function<void()> program;
    std::thread thread;
  };

  Worker& At(int index) { return *workers_[static_cast<size_t>(index)]; }

  void Loop(Worker* self) {
    for (;;) {
      self->turn.acquire();
      if (closing_) return;
      self->program();
      self->program = nullptr;
      scheduler_.release();
    }
  }

  bool closing_ = false;
  std::binary_semaphore scheduler_{0};
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace cddp
