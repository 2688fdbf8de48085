#include "cddp/pipeline.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace cddp {

Pipeline::Pipeline(Collective* collective) : collective_(collective) {
  try {
    prepare_thread_ = std::thread([this] { PrepareLoop(); });
    exchange_thread_ = std::thread([this] { ExchangeLoop(); });
  } catch (...) {
    Stop();
    throw;
  }
}

Pipeline::~Pipeline() { Stop(); }

void Pipeline::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread* thread : {&prepare_thread_, &exchange_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

void Pipeline::Submit(PipelineJob job) {
  auto owned = std::make_unique<PipelineJob>(std::move(job));
  owned->bucket.parameters = owned->parameters;
  const uint64_t step = owned->bucket.step;
  Enqueue(std::move(owned), step);
}

void Pipeline::Begin(uint64_t step) { Enqueue(nullptr, step); }

void Pipeline::Enqueue(std::unique_ptr<PipelineJob> job, uint64_t step) {
  {
    const std::lock_guard lock(mutex_);
    submitted_.push_back({.job = std::move(job), .step = step});
  }
  changed_.notify_all();
}

void Pipeline::Fail(const Status& status) {
  const std::lock_guard lock(mutex_);
  if (status_.ok()) status_ = status;
}

Status Pipeline::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

Status Pipeline::Guarded(const std::string& what, const std::function<Status()>& work) {
  Status status = this->status();
  if (!status.ok()) return status;
  try {
    status = work();
  } catch (const StatusError& error) {
    status = error.status();
  } catch (const std::exception& error) {
    // Leaving the thread it would end the process.
    const std::string message = error.what();
    status =
        Status::Internal(fmt::format("{} failed: {}", what, message.substr(0, message.find('\n'))));
  }
  if (!status.ok()) Fail(status);
  return status;
}

// Collective calls are the exchange thread's: it is asked to, and waited for.
void Pipeline::BeginStep(uint64_t step) {
  std::unique_lock lock(mutex_);
  prepared_.push_back({.job = nullptr, .step = step});
  changed_.notify_all();
  changed_.wait(lock, [&] { return step_ == step; });
}

void Pipeline::PrepareLoop() {
  std::optional<uint64_t> step;
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !submitted_.empty(); });
      if (submitted_.empty()) {
        all_prepared_ = true;
        changed_.notify_all();
        return;
      }
      item = std::move(submitted_.front());
      submitted_.pop_front();
    }
    if (step != item.step) {
      step = item.step;
      BeginStep(*step);
    }
    if (!item.job) continue;
    const std::unique_ptr<PipelineJob>& job = item.job;
    // An error is kept; the exchange thread tells the job in its turn.
    (void)Guarded(fmt::format("preparing bucket {}", job->bucket.index), [&] {
      if (job->before) job->before();
      return collective_->Prepare(job->bucket);
    });
    {
      const std::lock_guard lock(mutex_);
      prepared_.push_back(std::move(item));
    }
    changed_.notify_all();
  }
}

void Pipeline::ExchangeLoop() {
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return all_prepared_ || !prepared_.empty(); });
      if (prepared_.empty()) return;
      item = std::move(prepared_.front());
      prepared_.pop_front();
    }
    if (item.job) {
      const Bucket& bucket = item.job->bucket;
      const Status status = Guarded(fmt::format("exchanging bucket {}", bucket.index),
                                    [&] { return collective_->Exchange(bucket); });
      item.job->done(status);
      continue;
    }
    (void)Guarded(fmt::format("beginning step {}", item.step),
                  [&] { return collective_->BeginStep(item.step); });
    {
      const std::lock_guard lock(mutex_);
      step_ = item.step;
    }
    changed_.notify_all();
  }
}

}  // namespace cddp
