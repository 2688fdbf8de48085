// Sums over the threads of a warp or a block.
#pragma once

#include <cstdint>

namespace cddp::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarp = 32;

template <typename T>
__device__ inline T WarpInclusiveSum(T value, int lane) {
  for (int step = 1; step < kWarp; step *= 2) {
    const T other = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

__device__ inline uint32_t WarpSum(uint32_t value) { return __reduce_add_sync(kAllLanes, value); }
__device__ inline uint32_t WarpMin(uint32_t value) { return __reduce_min_sync(kAllLanes, value); }
__device__ inline uint32_t WarpMax(uint32_t value) { return __reduce_max_sync(kAllLanes, value); }

// What the threads before this one have; *total: all. Every thread of a block of kThreads
// calls it; `shared` has one T for each warp and may be used again after a barrier.
template <int kThreads, typename T>
__device__ inline T BlockExclusiveSum(T value, T* shared, T* total) {
  constexpr int kWarps = kThreads / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  const T inclusive = WarpInclusiveSum(value, lane);
  if (lane == kWarp - 1) shared[warp] = inclusive;
  __syncthreads();
  T before = 0;
  T sum = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w == warp) before = sum;
    sum += shared[w];
  }
  *total = sum;
  return before + inclusive - value;
}

// Replaces values[0, count) by the sums of what is before each; returns the sum of all. One
// block of kThreads, all of them. All of a thread's are loaded before any is stored: what
// loads have to wait for stores takes a microsecond each.
template <int kThreads, typename T>
__device__ inline T BlockScanInPlace(T* values, uint32_t count) {
  constexpr uint32_t kEach = 4;
  __shared__ T sums[kThreads / kWarp];
  T carried = 0;
  for (uint32_t begin = 0; begin < count; begin += kEach * kThreads) {
    const uint32_t first = begin + kEach * threadIdx.x;
    T own[kEach];
    T sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      own[i] = first + i < count ? values[first + i] : T{0};
    }
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) sum += own[i];
    T total;
    T before = carried + BlockExclusiveSum<kThreads>(sum, sums, &total);
    carried += total;
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      if (first + i < count) values[first + i] = before;
      before += own[i];
    }
    __syncthreads();
  }
  return carried;
}

// A word that one block tells others while they run.
__device__ inline void Tell(uint64_t* word, uint64_t what) {
  *const_cast<volatile uint64_t*>(word) = what;
}
__device__ inline uint64_t Told(const uint64_t* word) {
  return *const_cast<const volatile uint64_t*>(word);
}

// True in every thread of the block that is the last of `blocks` to come here; it then sees
// what all of them wrote before. Sets *arrived back to 0.
__device__ inline bool IsLastBlock(uint32_t* arrived, uint32_t blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(arrived, 1) == blocks - 1;
    if (last) *arrived = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

}  // namespace cddp::cuda
