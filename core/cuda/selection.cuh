// What the kernels of selection share: a bucket as they see it, what is accumulated for an
// element, and histograms of magnitudes.
#pragma once

#include <cstdint>

#include "core/cuda/block_scan.cuh"
#include "core/cuda/selection.h"

namespace cddp::cuda {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kVectors = kTileElements / (4 * kThreads);  // that a thread sweeps of a tile
constexpr uint32_t kNoTieEnd = 0xffffffffu;
constexpr uint32_t kHistogramBins = 4096;  // that a parameter has room for

__device__ inline uint32_t Magnitude(float value) {
  return __float_as_uint(value) & kMagnitudeMask;
}

// What all kernels of a step are given.
struct BucketSelection::Arguments {
  const Parameter* parameters;
  uint32_t parameter_count;
  const Tile* tiles;
  uint32_t tile_count;
  const Chunk* chunks;
  Progress* progress;
  ThresholdForecast* forecasts;
  uint32_t* histograms;  // kHistogramBins for each parameter, zero between kernels
  uint32_t* candidate_indices;
  float* candidate_values;
  uint2* tile_candidates;
  uint32_t* tile_ties;
  uint64_t* group_kept;
  uint32_t group_count;
  uint32_t* taken_indices;
  float* taken_values;
  Outcome* outcome;
  const float* gradient;
  States states;
  MomentumRule rule;
  Thresholds thresholds;
};

using Arguments = BucketSelection::Arguments;

// The elements of a tile that this thread sweeps: vectors of four that all threads of the
// block read side by side.
class ThreadElements {
 public:
  __device__ explicit ThreadElements(const Tile& tile) : tile_(tile) {}

  // Of vector v, in the bucket.
  __device__ uint32_t First(int v) const { return tile_.begin + 4 * (v * kThreads + threadIdx.x); }
  __device__ bool All(int v) const { return First(v) >= tile_.low && First(v) + 4 <= tile_.high; }
  __device__ bool Inside(uint32_t element) const {
    return element >= tile_.low && element < tile_.high;
  }
  __device__ void Inside(int v, bool (&inside)[4]) const {
    for (int e = 0; e < 4; ++e) inside[e] = Inside(First(v) + e);
  }

 private:
  Tile tile_;
};

// What has been accumulated for an element. Bit for bit core/sweep_scalar.cc.
__device__ inline float Accumulate(float gradient, float residual) { return gradient + residual; }

struct Momentum {
  float velocity;
  float sum;
};
__device__ inline Momentum Accumulate(const MomentumRule& rule, float gradient, float residual,
                                      float velocity_old) {
  const float g = rule.scale * gradient;
  const float velocity = rule.momentum * velocity_old + g;
  const float update = rule.nesterov ? rule.momentum * velocity + g : velocity;
  return {velocity, residual + update};
}

// The same for any element, straight from memory.
template <MemoryKind kMemory>
__device__ inline float AccumulatedAt(const Arguments& a, uint32_t element) {
  const float gradient = a.gradient[element];
  if constexpr (kMemory == MemoryKind::kNone) {
    return gradient;
  } else if constexpr (kMemory == MemoryKind::kResidual) {
    return Accumulate(gradient, a.states.residual_old[element]);
  } else {
    return Accumulate(a.rule, gradient, a.states.residual_old[element],
                      a.states.velocity_old[element])
        .sum;
  }
}

// A bin of a histogram, how many are in the bins above it, and in it.
struct Bin {
  uint32_t bin;
  uint32_t above;
  uint32_t count;
};

__device__ inline uint32_t* HistogramOf(const Arguments& a, uint32_t parameter) {
  return a.histograms + size_t{kHistogramBins} * parameter;
}

// The bin with the rank-th largest, ranks from 1; the bins are left zero. All threads of a
// block.
template <uint32_t kBins>
__device__ inline Bin TakeBinOfRank(uint32_t* histogram, uint32_t rank) {
  constexpr int kEach = kBins / kThreads;
  __shared__ uint32_t sums[kWarps];
  __shared__ Bin found;
  if (threadIdx.x == 0) found = {0, 0, 0};
  // Bins from the top down, four at a time.
  const uint32_t first = kBins - (threadIdx.x + 1) * kEach;
  auto* const fours = reinterpret_cast<uint4*>(histogram + first);
  uint32_t counts[kEach];
  uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; i += 4) {
    const uint4 four = fours[i / 4];
    counts[i] = four.x;
    counts[i + 1] = four.y;
    counts[i + 2] = four.z;
    counts[i + 3] = four.w;
  }
#pragma unroll
  for (int i = 0; i < kEach; i += 4) {
    fours[i / 4] = make_uint4(0, 0, 0, 0);
    sum += counts[i] + counts[i + 1] + counts[i + 2] + counts[i + 3];
  }
  uint32_t total;
  uint32_t above = BlockExclusiveSum<kThreads>(sum, sums, &total);
#pragma unroll
  for (int i = kEach - 1; i >= 0; --i) {
    if (above < rank && rank <= above + counts[i]) found = {first + i, above, counts[i]};
    above += counts[i];
  }
  __syncthreads();
  return found;
}

template <uint32_t kBins>
__device__ inline void ClearBins(uint32_t* bins) {
  for (uint32_t b = threadIdx.x; b < kBins; b += kThreads) bins[b] = 0;
  __syncthreads();
}

// Each block begins elsewhere: they would all wait for the same bins.
template <uint32_t kBins>
__device__ inline void AddBins(const uint32_t* bins, uint32_t* histogram) {
  __syncthreads();
  const uint32_t begin = blockIdx.x * kThreads + threadIdx.x;
#pragma unroll
  for (uint32_t i = 0; i < kBins; i += kThreads) {
    const uint32_t b = (begin + i) % kBins;
    if (bins[b] > 0) atomicAdd(&histogram[b], bins[b]);
  }
}

// Calls launch.template operator()<kMemory>().
template <typename Launch>
void ForMemory(MemoryKind memory, Launch launch) {
  switch (memory) {
    case MemoryKind::kNone:
      return launch.template operator()<MemoryKind::kNone>();
    case MemoryKind::kResidual:
      return launch.template operator()<MemoryKind::kResidual>();
    case MemoryKind::kDgc:
      return launch.template operator()<MemoryKind::kDgc>();
  }
}

inline uint32_t CeilDiv(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

}  // namespace cddp::cuda
