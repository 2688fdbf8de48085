#include "trainer/loader.h"

#include <fmt/format.h>

#include <utility>

#include "cddp/status.h"

namespace cddp {

Loader::Loader(std::shared_ptr<const Samples> samples, DistributedSampler sampler, uint32_t depth)
    : samples_(std::move(samples)), sampler_(std::move(sampler)), ring_(size_t{depth} + 1) {}

Loader::~Loader() { Stop(); }

void Loader::StartEpoch(uint64_t epoch, uint32_t first_step) {
  Stop();
  sampler_.SetEpoch(epoch);
  made_ = asked_ = first_step;
  stopping_ = false;
  error_ = nullptr;
  thread_ = std::thread([this, epoch, first_step] { MakeBatches(epoch, first_step); });
}

const Batch& Loader::Next() {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable() || asked_ >= sampler_.steps_per_epoch()) {
    throw StatusError(StatusCode::kInternal,
                      fmt::format("there is no batch of step {}: the epoch has {} steps", asked_,
                                  sampler_.steps_per_epoch()));
  }
  const uint32_t step = asked_++;
  changed_.notify_all();  // the batch before is free
  changed_.wait(lock, [&] { return made_ > step || error_ != nullptr; });
  if (made_ <= step) std::rethrow_exception(error_);
  return ring_[step % ring_.size()];
}

void Loader::MakeBatches(uint64_t epoch, uint32_t first_step) {
  constexpr int64_t kFirst = 0;
  for (uint32_t step = first_step; step < sampler_.steps_per_epoch(); ++step) {
    {
      // Step s - size of the ring was in this slot: it must have been given back, which it
      // is when the one after it is asked for.
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        return stopping_ || step < first_step + ring_.size() || asked_ + ring_.size() > step + 1;
      });
      if (stopping_) return;
    }
    std::exception_ptr error;
    try {
      const std::span<const int64_t> numbers = sampler_.Batch(step);
      samples_->Make(numbers.empty() ? std::span(&kFirst, 1) : numbers, epoch,
                     &ring_[step % ring_.size()]);
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    error_ = error;
    if (error == nullptr) made_ = step + 1;
    changed_.notify_all();
    if (error != nullptr) return;
  }
}

void Loader::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace cddp
