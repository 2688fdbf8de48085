// DistributedSampler: which samples each worker sees in each step.
//
// An epoch is a permutation of all samples, drawn from (seed, epoch) alone. Step
// s takes the next world_size * batch_size of them, the global batch, and splits
// it evenly over the workers, so every sample is seen once per epoch and the last
// global batch may give some workers one sample less than others, or none.
//
// The permutation does not depend on the standard library (own shuffle over
// std::mt19937_64, whose sequence is standardised). One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cddp {

class DistributedSampler {
 public:
  // Requires samples >= 1, batch_size >= 1, 0 <= rank < world_size.
  DistributedSampler(uint32_t samples, int world_size, int rank, uint32_t batch_size,
                     uint64_t seed);

  // Draws the permutation of `epoch`, counted from 0.
  void SetEpoch(uint64_t epoch);

  // Of all workers: numbers from 0 to samples() - 1 are drawn.
  uint32_t samples() const { return samples_; }

  uint32_t steps_per_epoch() const;

  // Samples of the global batch of `step`, over all workers.
  uint32_t GlobalBatch(uint32_t step) const;

  // This worker's part of GlobalBatch(step). Valid until the next SetEpoch.
  std::span<const int64_t> Batch(uint32_t step) const;

 private:
  uint32_t samples_;
  uint32_t global_batch_;
  uint32_t world_size_;
  uint32_t rank_;
  uint64_t seed_;
  std::vector<int64_t> permutation_;
};

// Gradient accumulation: an optimiser step takes `accumulate` of the sampler's steps
// (batches) at once, the last one of an epoch what is left.
struct AccumulatedBatches {
  uint32_t first = 0;  // batch
  uint32_t count = 0;
  uint32_t samples = 0;  // of all workers
};

// Optimiser steps of an epoch.
uint32_t OptimizerSteps(const DistributedSampler& sampler, uint32_t accumulate);

// How many optimiser steps from the epoch's first on take no more than `*samples`, which
// becomes what they take: fewer where other batches had taken them before.
uint32_t StepsWithin(const DistributedSampler& sampler, uint32_t accumulate, uint32_t* samples);

// The batches of optimiser step `step` of the epoch.
AccumulatedBatches BatchesOf(const DistributedSampler& sampler, uint32_t step, uint32_t accumulate);

}  // namespace cddp
