// A step is six launches: thresholds, the sweep, two steps of ranking the candidates, counting
// those that stay, and moving them. Longer than other files, for these belong together: each
// relies on what the one before leaves.
#include <algorithm>

#include "core/cuda/selection.cuh"

namespace cddp::cuda {
namespace {

// Candidates are ranked by how far they are above the threshold, in units of 2^kFineBits
// of the magnitude's bits, then exactly. The last bin is for all beyond: there, the
// threshold was a third too low, or more.
constexpr uint32_t kFineBits = 11;
constexpr uint32_t kFineBins = 1u << kFineBits;

// Four consecutive elements of one array.
struct Four {
  float at[4];
};

__device__ inline Four LoadFour(const float* from, bool all, const bool (&inside)[4]) {
  Four four;
  if (all) {
    const float4 loaded = __ldcs(reinterpret_cast<const float4*>(from));
    four = {loaded.x, loaded.y, loaded.z, loaded.w};
  } else {
    for (int e = 0; e < 4; ++e) four.at[e] = inside[e] ? from[e] : 0.0f;
  }
  return four;
}

__device__ inline void StoreFour(float* to, const Four& four, bool all, const bool (&inside)[4]) {
  if (all) {
    __stcs(reinterpret_cast<float4*>(to),
           make_float4(four.at[0], four.at[1], four.at[2], four.at[3]));
  } else {
    for (int e = 0; e < 4; ++e) {
      if (inside[e]) to[e] = four.at[e];
    }
  }
}

__global__ void BeginStep(const __grid_constant__ Arguments a) {
  const uint32_t p = blockIdx.x * blockDim.x + threadIdx.x;
  if (p == 0) {
    a.outcome->failed_parameters = 0;
    // A second look at some of the parameters says nothing of the others.
    if (a.thresholds != Thresholds::kOfFailed) a.outcome->non_finite = 0;
  }
  if (p >= a.parameter_count) return;
  Progress& progress = a.progress[p];
  progress.skipped = a.thresholds == Thresholds::kOfFailed && !progress.failed;
  if (progress.skipped) return;
  progress.candidates = 0;
  progress.failed = 0;
  if (a.parameters[p].whole()) {
    progress.threshold = 0;
    progress.tie_end = kNoTieEnd;
  } else if (a.thresholds == Thresholds::kForecast) {
    // With nothing to go by, no element reaches it.
    progress.threshold =
        a.forecasts[p].known ? __float_as_uint(a.forecasts[p].Next()) : kTakeNothing;
    progress.tie_end = kNoTieEnd;
  }
}

// Accumulates, takes out the candidates and writes what is left to the new memory.
template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads, kMemory == MemoryKind::kDgc ? 2 : 4) void SweepTiles(
    const __grid_constant__ Arguments a) {
  constexpr bool kKeeps = kMemory != MemoryKind::kNone;
  constexpr bool kMomentum = kMemory == MemoryKind::kDgc;
  const Tile tile = a.tiles[blockIdx.x];
  const Parameter& parameter = a.parameters[tile.parameter];
  const Progress& progress = a.progress[tile.parameter];
  if (a.thresholds == Thresholds::kOfFailed && progress.skipped) return;
  const ThreadElements elements(tile);

  Four sums[kVectors];
  Four olds[kVectors];
  Four velocities[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const uint32_t first = elements.First(v);
    const bool all = elements.All(v);
    bool inside[4];
    elements.Inside(v, inside);
    sums[v] = LoadFour(a.gradient + first, all, inside);
    if constexpr (kKeeps) {
      olds[v] = LoadFour(a.states.residual_old + first, all, inside);
    }
    if constexpr (kMomentum) {
      velocities[v] = LoadFour(a.states.velocity_old + first, all, inside);
    }
  }

  const uint32_t threshold = progress.threshold;
  const uint32_t tie_end = progress.tie_end;
  const bool mask_velocity = a.rule.masking && !parameter.whole();
  uint32_t taken = 0;  // a bit for each element of this thread
  uint32_t largest = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const uint32_t first = elements.First(v);
    const bool all = elements.All(v);
    bool inside[4];
    elements.Inside(v, inside);
    Four rest;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if constexpr (kMomentum) {
        const Momentum both = Accumulate(a.rule, sums[v].at[e], olds[v].at[e], velocities[v].at[e]);
        velocities[v].at[e] = both.velocity;
        sums[v].at[e] = both.sum;
      } else if constexpr (kKeeps) {
        sums[v].at[e] = Accumulate(sums[v].at[e], olds[v].at[e]);
      }
      const uint32_t magnitude = Magnitude(sums[v].at[e]);
      const bool is_taken = inside[e] && magnitude >= threshold + (first + e >= tie_end ? 1 : 0);
      if (inside[e]) largest = max(largest, magnitude);
      taken |= (is_taken ? 1u : 0u) << (4 * v + e);
      rest.at[e] = is_taken ? 0.0f : sums[v].at[e];
      if (kMomentum && is_taken && mask_velocity) velocities[v].at[e] = 0.0f;
    }
    if constexpr (kKeeps) {
      StoreFour(a.states.residual_next + first, rest, all, inside);
    }
    if constexpr (kMomentum) {
      StoreFour(a.states.velocity_next + first, velocities[v], all, inside);
    }
  }

  // Where this thread's candidates go among those of the tile: vectors come one after the
  // other, and of each vector the threads. Sixteen bits for each vector's count.
  static_assert(kVectors == 4 && 4 * kThreads < 65536);
  __shared__ uint64_t warp_counts[kWarps];
  __shared__ uint32_t at;
  uint64_t counts = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    counts |= static_cast<uint64_t>(__popc(taken >> (4 * v) & 15)) << (16 * v);
  }
  uint64_t totals;
  const uint64_t before = BlockExclusiveSum<kThreads>(counts, warp_counts, &totals);
  const bool finite = __syncthreads_and(largest < kInfinityBits);
  uint32_t total = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) total += totals >> (16 * v) & 0xffff;
  const bool whole = parameter.whole();
  if (threadIdx.x == 0) {
    if (whole) {
      at = tile.low - parameter.offset;
    } else {
      at = total > 0 ? atomicAdd(&a.progress[tile.parameter].candidates, total) : 0;
    }
    a.tile_candidates[blockIdx.x] = {at, whole ? 0 : total};
    if (!finite) atomicOr(&a.outcome->non_finite, 1);
  }
  __syncthreads();
  // What goes whole has its place already.
  if (!whole && at + total > parameter.capacity) return;  // the threshold has failed
  uint32_t* const indices = (whole ? a.taken_indices + parameter.taken_at
                                   : a.candidate_indices + parameter.candidates_at) +
                            at;
  float* const values =
      (whole ? a.taken_values + parameter.taken_at : a.candidate_values + parameter.candidates_at) +
      at;
  uint32_t of_vectors = 0;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    uint32_t to = of_vectors + (before >> (16 * v) & 0xffff);
    of_vectors += totals >> (16 * v) & 0xffff;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if ((taken >> (4 * v + e) & 1) == 0) continue;
      indices[to] = elements.First(v) + e;
      values[to++] = sums[v].at[e];
    }
  }
}

// One of the two steps of ranking the candidates; `fine` is the second.
template <bool kFine>
__global__ __launch_bounds__(kThreads) void RankCandidates(const __grid_constant__ Arguments a) {
  __shared__ uint32_t bins[kBins];
  const Chunk chunk = a.chunks[blockIdx.x];
  const Parameter& parameter = a.parameters[chunk.parameter];
  Progress& progress = a.progress[chunk.parameter];
  if (progress.skipped) return;
  uint32_t* const histogram = a.histograms + size_t{kBins} * chunk.parameter;
  const uint32_t candidates = progress.candidates;
  const bool failed =
      kFine ? progress.failed != 0 : candidates < parameter.k || candidates > parameter.capacity;
  if (!failed && chunk.begin < candidates) {
    ClearBins(bins);
    const uint32_t end = min(chunk.begin + kChunkCandidates, candidates);
    const float* const values = a.candidate_values + parameter.candidates_at;
    const uint32_t threshold = progress.threshold;
    const uint32_t wanted = progress.bin;
    uint32_t beyond = 0;
    constexpr int kEach = kChunkCandidates / kThreads;
    uint32_t magnitudes[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const uint32_t at = chunk.begin + i * kThreads + threadIdx.x;
      magnitudes[i] = at < end ? Magnitude(values[at]) : 0;
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (chunk.begin + i * kThreads + threadIdx.x >= end) continue;
      const uint32_t excess = magnitudes[i] - threshold;
      const uint32_t bin = excess >> kFineBits;
      if constexpr (kFine) {
        if (bin == wanted) atomicAdd(&bins[excess & (kFineBins - 1)], 1);
      } else if (bin < kBins - 1) {
        atomicAdd(&bins[bin], 1);
      } else {
        ++beyond;
      }
    }
    if constexpr (!kFine) {
      beyond = WarpSum(beyond);
      if (threadIdx.x % kWarp == 0 && beyond > 0) atomicAdd(&bins[kBins - 1], beyond);
    }
    AddBins(bins, histogram);
  }
  if (!IsLastBlock(&progress.arrived, parameter.chunks)) return;
  if (failed) {
    if (!kFine && threadIdx.x == 0) {
      progress.failed = 1;
      atomicAdd(&a.outcome->failed_parameters, 1);
    }
    return;
  }
  const Bin found = TakeBinOfRank(histogram, kFine ? progress.rank : parameter.k);
  if (threadIdx.x != 0) return;
  if constexpr (kFine) {
    progress.magnitude = progress.threshold + (progress.bin << kFineBits) + found.bin;
    progress.ties = progress.rank - found.above;
    if (progress.magnitude < kInfinityBits) {
      a.forecasts[chunk.parameter].Update(__uint_as_float(progress.magnitude));
    }
  } else {
    progress.bin = found.bin;
    progress.rank = parameter.k - found.above;
    if (found.bin == kBins - 1) {
      progress.failed = 1;
      atomicAdd(&a.outcome->failed_parameters, 1);
    }
  }
}

// How many candidates are above the k-th largest magnitude and how many equal it: before
// each tile of a group of tiles, which a block of threads counts, and before each group,
// which the last block sums up.
constexpr uint32_t kGroupTiles = 32;

__global__ __launch_bounds__(kThreads) void CountKept(const __grid_constant__ Arguments a) {
  constexpr uint32_t kEach = kGroupTiles / kWarps;  // tiles of a warp
  __shared__ uint64_t kept[kGroupTiles];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const uint32_t first = blockIdx.x * kGroupTiles;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t t = first + warp * kEach + i;
    uint32_t above = 0;
    uint32_t ties = 0;
    if (t < a.tile_count) {
      const uint32_t p = a.tiles[t].parameter;
      const uint32_t magnitude = a.progress[p].magnitude;
      const uint2 candidates = a.tile_candidates[t];
      const bool counts = !a.progress[p].failed && !a.progress[p].skipped;
      const uint32_t count = counts ? candidates.y : 0;
      const float* const values = a.candidate_values + a.parameters[p].candidates_at + candidates.x;
      for (uint32_t c = lane; c < count; c += kWarp) {
        const uint32_t of_candidate = Magnitude(values[c]);
        above += of_candidate > magnitude;
        ties += of_candidate == magnitude;
      }
    }
    above = WarpSum(above);
    ties = WarpSum(ties);
    if (lane == 0) kept[warp * kEach + i] = static_cast<uint64_t>(ties) << 32 | above;
  }
  __syncthreads();
  if (warp == 0) {
    static_assert(kGroupTiles == kWarp);
    const uint64_t inclusive = WarpInclusiveSum(kept[lane], lane);
    if (first + lane < a.tile_count) a.tile_kept[first + lane] = inclusive - kept[lane];
    if (lane == kWarp - 1) a.group_kept[blockIdx.x] = inclusive;
  }
  if (!IsLastBlock(a.arrived, gridDim.x)) return;
  BlockScanInPlace<kThreads>(a.group_kept, gridDim.x);
}

__device__ inline uint64_t KeptBefore(const Arguments& a, uint32_t t) {
  return a.group_kept[t / kGroupTiles] + a.tile_kept[t];
}

// Moves the k largest of the candidates to where they are taken, in index order, and puts
// the others back into the new memory.
template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads) void KeepLargest(const __grid_constant__ Arguments a) {
  const uint32_t t = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (t >= a.tile_count) return;
  const uint32_t p = a.tiles[t].parameter;
  const Progress& progress = a.progress[p];
  if (progress.failed || progress.skipped) return;
  const Parameter& parameter = a.parameters[p];
  const uint64_t before = KeptBefore(a, t) - KeptBefore(a, parameter.first_tile);
  uint32_t above_before = static_cast<uint32_t>(before);
  uint32_t ties_before = static_cast<uint32_t>(before >> 32);
  const uint2 candidates = a.tile_candidates[t];
  const uint32_t* const indices = a.candidate_indices + parameter.candidates_at + candidates.x;
  const float* const values = a.candidate_values + parameter.candidates_at + candidates.x;
  for (uint32_t i = lane; i - lane < candidates.y; i += kWarp) {
    const bool valid = i < candidates.y;
    const float value = valid ? values[i] : 0.0f;
    const uint32_t index = valid ? indices[i] : 0;
    const uint32_t magnitude = Magnitude(value);
    const bool above = valid && magnitude > progress.magnitude;
    const bool tie = valid && magnitude == progress.magnitude;
    const unsigned above_lanes = __ballot_sync(kAllLanes, above);
    const unsigned tie_lanes = __ballot_sync(kAllLanes, tie);
    const unsigned lower = (1u << lane) - 1;
    const uint32_t above_rank = above_before + __popc(above_lanes & lower);
    const uint32_t tie_rank = ties_before + __popc(tie_lanes & lower);
    if (above || (tie && tie_rank < progress.ties)) {
      const uint32_t to = parameter.taken_at + above_rank + min(tie_rank, progress.ties);
      a.taken_indices[to] = index;
      a.taken_values[to] = value;
    } else if (valid && kMemory != MemoryKind::kNone) {
      a.states.residual_next[index] = value;
      if (kMemory == MemoryKind::kDgc) {
        a.states.velocity_next[index] =
            Accumulate(a.rule, a.gradient[index], 0.0f, a.states.velocity_old[index]).velocity;
      }
    }
    above_before += __popc(above_lanes);
    ties_before += __popc(tie_lanes);
  }
}

// Room for candidates: four times what is taken while that is little of the parameter, and
// not less than a 32nd of it: thresholds of small shares are the least certain.
uint32_t CapacityOf(const Parameter& parameter) {
  const uint64_t k = parameter.k;
  const uint64_t n = parameter.count;
  return static_cast<uint32_t>(std::min(n, std::max(std::min(4 * k, k + n / 8), n / 32) + 1024));
}

}  // namespace

Status BucketSelection::Prepare(MemoryKind memory, const MomentumRule& rule,
                                std::vector<Parameter> parameters, cudaStream_t stream) {
  memory_ = memory;
  rule_ = rule;
  parameters_ = std::move(parameters);
  std::vector<Tile> tiles;
  std::vector<Chunk> chunks;
  uint64_t candidates = 0;
  entries_ = 0;
  for (Parameter& parameter : parameters_) {
    const auto p = static_cast<uint32_t>(&parameter - parameters_.data());
    parameter.taken_at = entries_;
    entries_ += parameter.k;
    parameter.first_tile = static_cast<uint32_t>(tiles.size());
    const uint64_t end = uint64_t{parameter.offset} + parameter.count;
    for (uint64_t begin = parameter.offset & ~3u; begin < end; begin += kTileElements) {
      tiles.push_back({.parameter = p,
                       .begin = static_cast<uint32_t>(begin),
                       .low = static_cast<uint32_t>(std::max<uint64_t>(begin, parameter.offset)),
                       .high = static_cast<uint32_t>(std::min(begin + kTileElements, end))});
    }
    parameter.tiles = static_cast<uint32_t>(tiles.size()) - parameter.first_tile;
    if (parameter.whole()) continue;
    parameter.capacity = CapacityOf(parameter);
    parameter.candidates_at = candidates;
    candidates += parameter.capacity;
    for (uint64_t begin = 0; begin < parameter.capacity; begin += kChunkCandidates) {
      chunks.push_back({p, static_cast<uint32_t>(begin)});
    }
    parameter.chunks = CeilDiv(parameter.capacity, kChunkCandidates);
  }
  tiles_ = static_cast<uint32_t>(tiles.size());
  chunks_ = static_cast<uint32_t>(chunks.size());
  const size_t count = parameters_.size();
  CDDP_RETURN_IF_ERROR(device_parameters_.Fill(parameters_, stream));
  CDDP_RETURN_IF_ERROR(device_tiles_.Fill(tiles, stream));
  CDDP_RETURN_IF_ERROR(device_chunks_.Fill(chunks, stream));
  CDDP_RETURN_IF_ERROR(progress_.MakeZero(count, stream));
  CDDP_RETURN_IF_ERROR(forecasts_.MakeZero(count, stream));
  CDDP_RETURN_IF_ERROR(histograms_.MakeZero(kBins * count, stream));
  CDDP_RETURN_IF_ERROR(candidate_indices_.Make(candidates));
  CDDP_RETURN_IF_ERROR(candidate_values_.Make(candidates));
  CDDP_RETURN_IF_ERROR(tile_candidates_.Make(tiles_));
  CDDP_RETURN_IF_ERROR(tile_kept_.Make(tiles_));
  CDDP_RETURN_IF_ERROR(group_kept_.Make(CeilDiv(tiles_, kGroupTiles)));
  CDDP_RETURN_IF_ERROR(arrived_.MakeZero(1, stream));
  CDDP_RETURN_IF_ERROR(taken_indices_.Make(entries_));
  CDDP_RETURN_IF_ERROR(taken_values_.Make(entries_));
  return outcome_.MakeZero(1, stream);
}

BucketSelection::Arguments BucketSelection::ArgumentsOf(Thresholds thresholds,
                                                        const float* gradient,
                                                        const States& states) const {
  return {.parameters = device_parameters_.data(),
          .parameter_count = static_cast<uint32_t>(parameters_.size()),
          .tiles = device_tiles_.data(),
          .tile_count = tiles_,
          .chunks = device_chunks_.data(),
          .progress = progress_.data(),
          .forecasts = forecasts_.data(),
          .histograms = histograms_.data(),
          .candidate_indices = candidate_indices_.data(),
          .candidate_values = candidate_values_.data(),
          .tile_candidates = tile_candidates_.data(),
          .tile_kept = tile_kept_.data(),
          .group_kept = group_kept_.data(),
          .arrived = arrived_.data(),
          .taken_indices = taken_indices_.data(),
          .taken_values = taken_values_.data(),
          .outcome = outcome_.data(),
          .gradient = gradient,
          .states = states,
          .rule = rule_,
          .thresholds = thresholds};
}

Status BucketSelection::Select(Thresholds thresholds, const float* gradient, const States& states,
                               cudaStream_t stream) {
  if (tiles_ == 0)
    return StatusOf(cudaMemsetAsync(outcome_.data(), 0, sizeof(Outcome), stream),
                    "a bucket without elements");
  const Arguments a = ArgumentsOf(thresholds, gradient, states);
  BeginStep<<<CeilDiv(a.parameter_count, kThreads), kThreads, 0, stream>>>(a);
  ForMemory(memory_,
            [&]<MemoryKind kMemory>() { SweepTiles<kMemory><<<tiles_, kThreads, 0, stream>>>(a); });
  if (chunks_ > 0) {
    RankCandidates<false><<<chunks_, kThreads, 0, stream>>>(a);
    RankCandidates<true><<<chunks_, kThreads, 0, stream>>>(a);
  }
  CountKept<<<CeilDiv(tiles_, kGroupTiles), kThreads, 0, stream>>>(a);
  ForMemory(memory_, [&]<MemoryKind kMemory>() {
    KeepLargest<kMemory><<<CeilDiv(tiles_, kWarps), kThreads, 0, stream>>>(a);
  });
  return StatusOf(cudaGetLastError(), "selecting");
}

}  // namespace cddp::cuda
