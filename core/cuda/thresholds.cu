// The exact thresholds, without one to go by: the k-th largest magnitude digit by digit, and
// how far its ties are among the k largest.
#include "core/cuda/selection.cuh"

namespace cddp::cuda {
namespace {

// ResolveThresholds goes through the bits of a magnitude by 11, 10 and 10.
constexpr uint32_t kDigitBits = 10;
constexpr int kResolveLevels = 3;
constexpr uint32_t kBins = 2048;  // of the first digit
__host__ __device__ constexpr uint32_t ResolveShift(int level) {
  return level == 0 ? 20 : level == 1 ? 10 : 0;
}

// That ResolveThresholds looks for the parameter's threshold.
__device__ inline bool IsSought(const Arguments& a, const Parameter& parameter,
                                const Progress& progress) {
  return !parameter.whole() && (progress.failed || a.thresholds == Thresholds::kExact);
}

// One digit of the k-th largest magnitude, from the highest, over all elements.
template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads) void ResolveDigit(const __grid_constant__ Arguments a,
                                                         int level) {
  __shared__ uint32_t bins[kBins];
  const Tile tile = a.tiles[blockIdx.x];
  const Parameter& parameter = a.parameters[tile.parameter];
  Progress& progress = a.progress[tile.parameter];
  if (!IsSought(a, parameter, progress)) return;
  const ThreadElements elements(tile);
  const uint32_t shift = ResolveShift(level);
  const uint32_t digit_mask = level == 0 ? kBins - 1 : (1u << kDigitBits) - 1;
  const uint32_t prefix = level == 0 ? 0 : progress.magnitude;  // the digits so far
  const uint32_t prefix_shift = level == 0 ? 31 : ResolveShift(level - 1);
  ClearBins<kBins>(bins);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    for (int e = 0; e < 4; ++e) {
      const uint32_t element = elements.First(v) + e;
      if (!elements.Inside(element)) continue;
      const uint32_t magnitude = Magnitude(AccumulatedAt<kMemory>(a, element));
      if (magnitude >> prefix_shift != prefix) continue;
      atomicAdd(&bins[magnitude >> shift & digit_mask], 1);
    }
  }
  uint32_t* const histogram = HistogramOf(a, tile.parameter);
  AddBins<kBins>(bins, histogram);
  if (!IsLastBlock(&progress.arrived, parameter.tiles)) return;
  const Bin found = TakeBinOfRank<kBins>(histogram, level == 0 ? parameter.k : progress.rank);
  if (threadIdx.x != 0) return;
  progress.rank = (level == 0 ? parameter.k : progress.rank) - found.above;
  if (level == 0) {
    progress.magnitude = found.bin;
  } else {
    progress.magnitude = progress.magnitude << kDigitBits | found.bin;
  }
  if (level + 1 < kResolveLevels) return;
  progress.threshold = progress.magnitude;
  progress.tie_end = kNoTieEnd;
  progress.ties = progress.rank;
  progress.seek_ties = found.count > progress.rank;
}

// The ties of each tile, where not all of them are among the k largest.
template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads) void CountTies(const __grid_constant__ Arguments a) {
  const Tile tile = a.tiles[blockIdx.x];
  const Parameter& parameter = a.parameters[tile.parameter];
  const Progress& progress = a.progress[tile.parameter];
  if (!IsSought(a, parameter, progress) || !progress.seek_ties) return;
  const ThreadElements elements(tile);
  __shared__ uint32_t sums[kWarps];
  uint32_t ties = 0;
  for (int v = 0; v < kVectors; ++v) {
    for (int e = 0; e < 4; ++e) {
      const uint32_t element = elements.First(v) + e;
      ties += elements.Inside(element) &&
              Magnitude(AccumulatedAt<kMemory>(a, element)) == progress.magnitude;
    }
  }
  uint32_t total;
  BlockExclusiveSum<kThreads>(ties, sums, &total);
  if (threadIdx.x == 0) a.tile_ties[blockIdx.x] = total;
}

// Where the last tie ends that is among the k largest: the lowest indices are. A block of
// threads for each parameter.
template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads) void FindTieEnd(const __grid_constant__ Arguments a) {
  const Parameter& parameter = a.parameters[blockIdx.x];
  Progress& progress = a.progress[blockIdx.x];
  if (!IsSought(a, parameter, progress) || !progress.seek_ties) return;
  __shared__ uint32_t sums[kWarps];
  __shared__ uint32_t found_at;  // tile
  __shared__ uint32_t left;      // ties to go in it
  const uint32_t wanted = progress.ties;
  uint32_t before = 0;
  for (uint32_t first = 0; first < parameter.tiles && before < wanted; first += kThreads) {
    const uint32_t t = first + threadIdx.x;
    const uint32_t ties = t < parameter.tiles ? a.tile_ties[parameter.first_tile + t] : 0;
    uint32_t total;
    const uint32_t here = before + BlockExclusiveSum<kThreads>(ties, sums, &total);
    if (here < wanted && wanted <= here + ties) {
      found_at = parameter.first_tile + t;
      left = wanted - here;
    }
    before += total;
    __syncthreads();
  }
  const Tile tile = a.tiles[found_at];
  const ThreadElements elements(tile);
  uint32_t remaining = left;
  for (uint32_t first = 0; first < kTileElements && remaining > 0; first += kThreads) {
    const uint32_t element = tile.begin + first + threadIdx.x;
    const uint32_t tie = elements.Inside(element) &&
                         Magnitude(AccumulatedAt<kMemory>(a, element)) == progress.magnitude;
    uint32_t total;
    const uint32_t here = BlockExclusiveSum<kThreads>(tie, sums, &total);
    if (tie && here + 1 == remaining) progress.tie_end = element + 1;
    remaining -= min(remaining, total);
    __syncthreads();
  }
}

}  // namespace

Status BucketSelection::ResolveThresholds(Thresholds thresholds, const float* gradient,
                                          const States& states, cudaStream_t stream) {
  if (chunks_ == 0) return Status::Ok();
  const Arguments a = ArgumentsOf(thresholds, gradient, states);
  ForMemory(memory_, [&]<MemoryKind kMemory>() {
    for (int level = 0; level < kResolveLevels; ++level) {
      ResolveDigit<kMemory><<<tiles_, kThreads, 0, stream>>>(a, level);
    }
    CountTies<kMemory><<<tiles_, kThreads, 0, stream>>>(a);
    FindTieEnd<kMemory><<<a.parameter_count, kThreads, 0, stream>>>(a);
  });
  return StatusOf(cudaGetLastError(), "looking for thresholds");
}

}  // namespace cddp::cuda
