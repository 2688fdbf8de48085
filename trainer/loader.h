// Loader: the batches of an epoch, made ahead of the training step on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "trainer/data/samples.h"
#include "trainer/sampler.h"

namespace cddp {

// The batch of step s holds the samples of DistributedSampler::Batch(s) in their order; of
// a step that has none for this worker, sample 0, so that the worker can join with a
// weight of zero.
//
// Batches are the same whatever the depth and the timing. All calls from one thread.
class Loader {
 public:
  static constexpr uint32_t kDepth = 4;

  // Keeps up to `depth` (at least 1) batches ready, in as much memory and one batch more.
  Loader(std::shared_ptr<const Samples> samples, DistributedSampler sampler,
         uint32_t depth = kDepth);
  ~Loader();  // also in the middle of an epoch: waits for the batch being made, no longer
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Gives up the epoch under way and begins `epoch` (from 0) at `first_step`.
  void StartEpoch(uint64_t epoch, uint32_t first_step = 0);

  // The batch of the next step, valid until the next call. Waits for it. Throws what
  // making it has thrown, and StatusError(kInternal) behind the last one of the epoch.
  const Batch& Next();

  // That of the epoch that was begun last.
  const DistributedSampler& sampler() const { return sampler_; }
  const Samples& samples() const { return *samples_; }

 private:
  void MakeBatches(uint64_t epoch, uint32_t first_step);
  void Stop();

  const std::shared_ptr<const Samples> samples_;
  DistributedSampler sampler_;
  std::vector<Batch> ring_;  // step s in slot s % size

  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t made_ = 0;   // steps below are made
  uint32_t asked_ = 0;  // steps below were handed out
  bool stopping_ = false;
  std::exception_ptr error_;  // of step made_

  std::thread thread_;
};

}  // namespace cddp
