// A step is five launches: thresholds, the sweep, two steps of ranking the candidates, and moving
// those that stay. Each may begin before the one before has ended. Longer than other files, for
// these belong together: each relies on what the one before leaves.
#include <algorithm>

#include "core/cuda/overlap.cuh"
#include "core/cuda/selection.cuh"

namespace cddp::cuda {
namespace {

// Candidates are ranked by how far they are above the threshold, in units of 2^kFineBits
// of the magnitude's bits, then exactly. The last bin is for all beyond: there, the
// threshold was a quarter of what it should have been, or less.
constexpr uint32_t kFineBits = 12;
constexpr uint32_t kRankBins = 1u << kFineBits;
static_assert(kRankBins <= kHistogramBins);

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
  LetNextBegin();
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
  LetNextBegin();
  const Tile tile = a.tiles[blockIdx.x];
  const Parameter& parameter = a.parameters[tile.parameter];
  const Progress& progress = a.progress[tile.parameter];
  if (threadIdx.x == 0 && blockIdx.x < a.group_count) a.group_kept[blockIdx.x] = 0;
  if (a.thresholds == Thresholds::kOfFailed) {
    WaitForPrevious();
    if (progress.skipped) return;
  }
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

  WaitForPrevious();  // which wrote nothing of what is loaded
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
  __shared__ uint32_t bins[kRankBins];
  LetNextBegin();
  const Chunk chunk = a.chunks[blockIdx.x];
  const Parameter& parameter = a.parameters[chunk.parameter];
  Progress& progress = a.progress[chunk.parameter];
  ClearBins<kRankBins>(bins);
  WaitForPrevious();
  if (progress.skipped) return;
  uint32_t* const histogram = HistogramOf(a, chunk.parameter);
  const uint32_t candidates = progress.candidates;
  const bool failed =
      kFine ? progress.failed != 0 : candidates < parameter.k || candidates > parameter.capacity;
  if (!failed && chunk.begin < candidates) {
    const float* const values = a.candidate_values + parameter.candidates_at;
    const uint32_t threshold = progress.threshold;
    const uint32_t wanted = progress.bin;
    uint32_t beyond = 0;
    for (uint32_t begin = chunk.begin; begin < candidates;
         begin += parameter.chunks * kChunkCandidates) {
      const uint32_t end = min(begin + kChunkCandidates, candidates);
      constexpr int kEach = kChunkCandidates / kThreads;
      uint32_t magnitudes[kEach];
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const uint32_t at = begin + i * kThreads + threadIdx.x;
        magnitudes[i] = at < end ? Magnitude(values[at]) : 0;
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (begin + i * kThreads + threadIdx.x >= end) continue;
        const uint32_t excess = magnitudes[i] - threshold;
        const uint32_t bin = excess >> kFineBits;
        if constexpr (kFine) {
          if (bin == wanted) atomicAdd(&bins[excess & (kRankBins - 1)], 1);
        } else if (bin < kRankBins - 1) {
          atomicAdd(&bins[bin], 1);
        } else {
          ++beyond;
        }
      }
    }
    if constexpr (!kFine) {
      beyond = WarpSum(beyond);
      if (threadIdx.x % kWarp == 0 && beyond > 0) atomicAdd(&bins[kRankBins - 1], beyond);
    }
    AddBins<kRankBins>(bins, histogram);
  }
  if (!IsLastBlock(&progress.arrived, parameter.chunks)) return;
  if (failed) {
    if (!kFine && threadIdx.x == 0) {
      progress.failed = 1;
      atomicAdd(&a.outcome->failed_parameters, 1);
    }
    return;
  }
  const Bin found = TakeBinOfRank<kRankBins>(histogram, kFine ? progress.rank : parameter.k);
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
    if (found.bin == kRankBins - 1) {
      progress.failed = 1;
      atomicAdd(&a.outcome->failed_parameters, 1);
    }
  }
}

// Moves the k largest of the candidates to where they are taken, in index order, and puts
// the others back into the new memory. Where a tile's go follows from how many candidates of the
// tiles before it are above the k-th largest magnitude, and how many equal it. A block of threads
// has a group of tiles; it adds up what the groups before it have told (Merrill and Garland,
// Single-pass Parallel Prefix Scan with Decoupled Look-back, 2016, who also rely on blocks being
// begun in their order; all of a parameter's groups are read, of which there are some hundreds).
// What a group tells is only of its last parameter: no other goes on behind it.
constexpr uint32_t kGroupTiles = 16;
constexpr uint64_t kTold = uint64_t{1} << 63;  // of a group's counts; ties from bit 32 on

// The candidates of a tile, as a warp sees them: the first ones of each lane, which are mostly
// all, are loaded once.
class TileCandidates {
 public:
  __device__ void Load(const float* values, const uint32_t* indices, uint32_t count, int lane) {
    values_ = values;
    indices_ = indices;
    count_ = count;
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) {
      const uint32_t i = lane + kWarp * h;
      held_[h] = i < count ? Candidate{values[i], indices[i]} : Candidate{};
    }
  }

  // Calls visit(is one, value, index) for each of the lane's, all lanes of the warp at once.
  template <typename Visit>
  __device__ void ForEach(int lane, Visit visit) const {
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) {
      if (kWarp * h < count_) visit(lane + kWarp * h < count_, held_[h].value, held_[h].index);
    }
    for (uint32_t i = lane + kWarp * kHeld; i - lane < count_; i += kWarp) {
      const bool is_one = i < count_;
      visit(is_one, is_one ? values_[i] : 0.0f, is_one ? indices_[i] : 0u);
    }
  }

 private:
  static constexpr uint32_t kHeld = 4;
  struct Candidate {
    float value;
    uint32_t index;
  };

  const float* values_ = nullptr;
  const uint32_t* indices_ = nullptr;
  uint32_t count_ = 0;
  Candidate held_[kHeld];
};

// What the groups from `first` on to this block's have told. All threads of a block.
__device__ uint64_t KeptBefore(const uint64_t* group_kept, uint32_t first) {
  __shared__ uint64_t sums[kWarps];
  uint64_t told = 0;
  for (uint32_t g = first + threadIdx.x; g < blockIdx.x; g += kThreads) {
    uint64_t word;
    while (((word = Told(&group_kept[g])) & kTold) == 0) {
    }
    told += word & ~kTold;
  }
  uint64_t total;
  BlockExclusiveSum<kThreads>(told, sums, &total);
  return total;
}

template <MemoryKind kMemory>
__global__ __launch_bounds__(kThreads) void KeepLargest(const __grid_constant__ Arguments a) {
  constexpr uint32_t kEach = kGroupTiles / kWarps;  // tiles of a warp
  __shared__ uint64_t kept[kGroupTiles];
  __shared__ uint32_t parameter_of[kGroupTiles];
  LetNextBegin();
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const uint32_t first = blockIdx.x * kGroupTiles;
  const uint32_t in_group = min(kGroupTiles, a.tile_count - first);
  if (threadIdx.x < in_group) parameter_of[threadIdx.x] = a.tiles[first + threadIdx.x].parameter;
  __syncthreads();
  const uint32_t first_parameter = parameter_of[0];
  WaitForPrevious();

  TileCandidates candidates[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t in = warp * kEach + i;
    if (in >= in_group) continue;
    const uint32_t p = parameter_of[in];
    if (a.progress[p].failed || a.progress[p].skipped) continue;
    const uint2 of_tile = a.tile_candidates[first + in];
    const uint64_t at = a.parameters[p].candidates_at + of_tile.x;
    candidates[i].Load(a.candidate_values + at, a.candidate_indices + at, of_tile.y, lane);
  }
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t in = warp * kEach + i;
    if (in >= in_group) continue;
    const uint32_t kth = a.progress[parameter_of[in]].magnitude;
    uint32_t above = 0;
    uint32_t ties = 0;
    candidates[i].ForEach(lane, [&](bool is_one, float value, uint32_t) {
      above += is_one && Magnitude(value) > kth;
      ties += is_one && Magnitude(value) == kth;
    });
    above = WarpSum(above);
    ties = WarpSum(ties);
    if (lane == 0) kept[in] = static_cast<uint64_t>(ties) << 32 | above;
  }
  __syncthreads();

  if (warp == 0) {
    const bool of_last = lane < in_group && parameter_of[lane] == parameter_of[in_group - 1];
    const uint64_t own = WarpInclusiveSum(of_last ? kept[lane] : 0, lane);
    if (lane == kWarp - 1) Tell(&a.group_kept[blockIdx.x], kTold | own);
  }
  const uint64_t before_group =
      KeptBefore(a.group_kept, a.parameters[first_parameter].first_tile / kGroupTiles);

#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t in = warp * kEach + i;
    if (in >= in_group) continue;
    const uint32_t p = parameter_of[in];
    const uint32_t taken_at = a.parameters[p].taken_at;
    const uint32_t kth = a.progress[p].magnitude;
    const uint32_t ties = a.progress[p].ties;
    uint64_t before = p == first_parameter ? before_group : 0;
    for (uint32_t j = 0; j < in; ++j) before += parameter_of[j] == p ? kept[j] : 0;
    uint32_t above_before = static_cast<uint32_t>(before);
    uint32_t ties_before = static_cast<uint32_t>(before >> 32);
    candidates[i].ForEach(lane, [&](bool is_one, float value, uint32_t index) {
      const bool above = is_one && Magnitude(value) > kth;
      const bool tie = is_one && Magnitude(value) == kth;
      const unsigned above_lanes = __ballot_sync(kAllLanes, above);
      const unsigned tie_lanes = __ballot_sync(kAllLanes, tie);
      const unsigned lower = (1u << lane) - 1;
      const uint32_t above_rank = above_before + __popc(above_lanes & lower);
      const uint32_t tie_rank = ties_before + __popc(tie_lanes & lower);
      if (above || (tie && tie_rank < ties)) {
        const uint32_t to = taken_at + above_rank + min(tie_rank, ties);
        a.taken_indices[to] = index;
        a.taken_values[to] = value;
      } else if (is_one && kMemory != MemoryKind::kNone) {
        a.states.residual_next[index] = value;
        if (kMemory == MemoryKind::kDgc) {
          a.states.velocity_next[index] =
              Accumulate(a.rule, a.gradient[index], 0.0f, a.states.velocity_old[index]).velocity;
        }
      }
      above_before += __popc(above_lanes);
      ties_before += __popc(tie_lanes);
    });
  }
}

// Room for candidates: an eighth of the parameter more than what is taken, since thresholds are
// set lower the less certain they are; and all of a small one.
uint32_t CapacityOf(const Parameter& parameter) {
  constexpr uint64_t kSmall = 65536;
  return static_cast<uint32_t>(std::min<uint64_t>(
      parameter.count, std::max(uint64_t{parameter.k} + parameter.count / 8, kSmall)));
}

// Blocks of threads that rank them, enough for four times what is taken to be ranked at once.
uint32_t ChunksOf(const Parameter& parameter) {
  const uint64_t at_once = std::min<uint64_t>(parameter.capacity, 4 * uint64_t{parameter.k});
  return CeilDiv(static_cast<uint32_t>(at_once), kChunkCandidates);
}

}  // namespace

Status BucketSelection::Prepare(MemoryKind memory, const MomentumRule& rule,
                                std::vector<Parameter> parameters, cudaStream_t stream) {
  memory_ = memory;
  rule_ = rule;
  overlaps_ = CanOverlap(BeginStep);
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
    parameter.chunks = ChunksOf(parameter);
    for (uint32_t chunk = 0; chunk < parameter.chunks; ++chunk) {
      chunks.push_back({p, chunk * kChunkCandidates});
    }
  }
  tiles_ = static_cast<uint32_t>(tiles.size());
  chunks_ = static_cast<uint32_t>(chunks.size());
  const size_t count = parameters_.size();
  CDDP_RETURN_IF_ERROR(device_parameters_.Fill(parameters_, stream));
  CDDP_RETURN_IF_ERROR(device_tiles_.Fill(tiles, stream));
  CDDP_RETURN_IF_ERROR(device_chunks_.Fill(chunks, stream));
  CDDP_RETURN_IF_ERROR(progress_.MakeZero(count, stream));
  CDDP_RETURN_IF_ERROR(forecasts_.MakeZero(count, stream));
  CDDP_RETURN_IF_ERROR(histograms_.MakeZero(kHistogramBins * count, stream));
  CDDP_RETURN_IF_ERROR(candidate_indices_.Make(candidates));
  CDDP_RETURN_IF_ERROR(candidate_values_.Make(candidates));
  CDDP_RETURN_IF_ERROR(tile_candidates_.Make(tiles_));
  CDDP_RETURN_IF_ERROR(tile_ties_.Make(tiles_));
  CDDP_RETURN_IF_ERROR(group_kept_.Make(CeilDiv(tiles_, kGroupTiles)));
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
          .tile_ties = tile_ties_.data(),
          .group_kept = group_kept_.data(),
          .group_count = CeilDiv(tiles_, kGroupTiles),
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
  // What is read before the kernel before has ended was there before the first of them began.
  BeginStep<<<CeilDiv(a.parameter_count, kThreads), kThreads, 0, stream>>>(a);
  ForMemory(memory_, [&]<MemoryKind kMemory>() {
    Launch(SweepTiles<kMemory>, dim3(tiles_), kThreads, overlaps_, stream, a);
    if (chunks_ > 0) {
      Launch(RankCandidates<false>, dim3(chunks_), kThreads, overlaps_, stream, a);
      Launch(RankCandidates<true>, dim3(chunks_), kThreads, overlaps_, stream, a);
    }
    Launch(KeepLargest<kMemory>, dim3(a.group_count), kThreads, overlaps_, stream, a);
  });
  return StatusOf(cudaGetLastError(), "selecting");
}

}  // namespace cddp::cuda
