#include "trainer/sampler.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

namespace cddp {

DistributedSampler::DistributedSampler(uint32_t samples, int world_size, int rank,
                                       uint32_t batch_size, uint64_t seed)
    : samples_(samples),
      global_batch_(static_cast<uint32_t>(world_size) * batch_size),
      world_size_(static_cast<uint32_t>(world_size)),
      rank_(static_cast<uint32_t>(rank)),
      seed_(seed) {
  SetEpoch(0);
}

void DistributedSampler::SetEpoch(uint64_t epoch) {
  permutation_.resize(samples_);
  std::iota(permutation_.begin(), permutation_.end(), int64_t{0});
  std::seed_seq seeds{static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32),
                      static_cast<uint32_t>(epoch), static_cast<uint32_t>(epoch >> 32)};
  std::mt19937_64 random(seeds);
  for (uint64_t i = samples_; i > 1; --i) {
    // Unbiased draw below i: values in the incomplete last range are drawn again.
    const uint64_t limit = UINT64_MAX - UINT64_MAX % i;
    uint64_t draw;
    do draw = random();
    while (draw >= limit);
    std::swap(permutation_[i - 1], permutation_[draw % i]);
  }
}

uint32_t DistributedSampler::steps_per_epoch() const {
  return (samples_ + global_batch_ - 1) / global_batch_;
}

uint32_t DistributedSampler::GlobalBatch(uint32_t step) const {
  return std::min(global_batch_, samples_ - step * global_batch_);
}

std::span<const int64_t> DistributedSampler::Batch(uint32_t step) const {
  const uint64_t global = GlobalBatch(step);
  const uint64_t begin = global * rank_ / world_size_;
  const uint64_t end = global * (rank_ + 1) / world_size_;
  return std::span(permutation_).subspan(uint64_t{step} * global_batch_ + begin, end - begin);
}

uint32_t OptimizerSteps(const DistributedSampler& sampler, uint32_t accumulate) {
  return (sampler.steps_per_epoch() + accumulate - 1) / accumulate;
}

uint32_t StepsWithin(const DistributedSampler& sampler, uint32_t accumulate, uint32_t* samples) {
  const uint32_t steps = OptimizerSteps(sampler, accumulate);
  uint32_t step = 0;
  uint32_t taken = 0;
  for (; step < steps; ++step) {
    const uint32_t next = BatchesOf(sampler, step, accumulate).samples;
    if (taken + next > *samples) break;
    taken += next;
  }
  *samples = taken;
  return step;
}

AccumulatedBatches BatchesOf(const DistributedSampler& sampler, uint32_t step,
                             uint32_t accumulate) {
  AccumulatedBatches batches{.first = step * accumulate};
  batches.count = std::min(accumulate, sampler.steps_per_epoch() - batches.first);
  for (uint32_t i = 0; i < batches.count; ++i) {
    batches.samples += sampler.GlobalBatch(batches.first + i);
  }
  return batches;
}

}  // namespace cddp
