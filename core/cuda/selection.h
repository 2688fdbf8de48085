// Exact Top-K on the device, for all parameters of a bucket at once: the same entries as
// the CPU's topk selector takes, bit for bit, ties to the lowest index.
//
// One sweep in the usual case: it accumulates gradient and memory, takes out what reaches
// the threshold of the step before (a little lowered) and writes the rest to the new
// memory: 12 bytes per element with `residual`, 20 with `dgc`. The candidates, a little
// more than k, are then ranked by two histograms, and those that are not among the k
// largest are put back. Where the threshold fails (fewer
// than k candidates, more than there is room for, or it was far too low), the outcome says
// so: ResolveThresholds then finds the exact ones in three sweeps, and Select runs again,
// for the parameters that failed only, of which the old memory is as it was.
//
// Nothing here waits for the device or allocates in a step. Deterministic, whatever the order in
// which blocks run. One object per bucket; not thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "cddp/status.h"
#include "core/cuda/bucket_layout.h"
#include "core/cuda/device.h"
#include "core/sweep.h"
#include "core/threshold_forecast.h"

namespace cddp::cuda {

// What the host needs to know of a step.
struct Outcome {
  uint32_t failed_parameters;  // whose thresholds failed, or were not known
  uint32_t non_finite;         // not 0: a NaN or Inf was swept
  uint32_t index_bytes;        // of the frame (frame_encoder.h)
};

// How far the selection from a parameter has come in this step.
struct Progress {
  uint32_t threshold;  // magnitude bits; taken is what reaches it,
  uint32_t tie_end;    // and of those that equal it, only what lies before this element
  uint32_t candidates;
  uint32_t arrived;    // blocks of threads that have done their part
  uint32_t bin;        // of the histogram before: where the k-th largest lies
  uint32_t rank;       // of the k-th largest within that
  uint32_t magnitude;  // of the k-th largest
  uint32_t ties;       // how many of this magnitude are among the k largest
  uint32_t seek_ties;  // ResolveThresholds: not all of this magnitude are
  uint32_t failed;
  uint32_t skipped;  // in this Select
};

// Which parameters are selected from, and with what thresholds.
enum class Thresholds {
  kForecast,  // all, with those by forecast
  kOfFailed,  // those that failed, with exact ones
  kExact,     // all, with exact ones
};

class BucketSelection {
 public:
  // For parameters of which offset, count and k are set. The rest is set here.
  Status Prepare(MemoryKind memory, const MomentumRule& rule, std::vector<Parameter> parameters,
                 cudaStream_t stream);

  // Takes the k largest of each parameter out of what is accumulated. `gradient` and states
  // are aligned to 16 bytes.
  Status Select(Thresholds thresholds, const float* gradient, const States& states,
                cudaStream_t stream);

  // Finds the thresholds that Select then goes by, kOfFailed or kExact.
  Status ResolveThresholds(Thresholds thresholds, const float* gradient, const States& states,
                           cudaStream_t stream);

  MemoryKind memory() const { return memory_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  uint32_t entries() const { return entries_; }
  // On the device: what was taken, in index order; indices are the bucket's.
  const uint32_t* indices() const { return taken_indices_.data(); }
  float* values() const { return taken_values_.data(); }
  Outcome* outcome() const { return outcome_.data(); }
  bool overlaps() const { return overlaps_; }  // its kernels do (overlap.cuh)

  struct Arguments;  // of the kernels

 private:
  MemoryKind memory_ = MemoryKind::kNone;
  MomentumRule rule_;
  std::vector<Parameter> parameters_;
  uint32_t entries_ = 0;
  uint32_t tiles_ = 0;
  uint32_t chunks_ = 0;
  bool overlaps_ = false;

  Arguments ArgumentsOf(Thresholds thresholds, const float* gradient, const States& states) const;

  DeviceArray<Parameter> device_parameters_;
  DeviceArray<Tile> device_tiles_;
  DeviceArray<Chunk> device_chunks_;
  DeviceArray<Progress> progress_;
  DeviceArray<ThresholdForecast> forecasts_;
  DeviceArray<uint32_t> histograms_;
  DeviceArray<uint32_t> candidate_indices_;
  DeviceArray<float> candidate_values_;
  DeviceArray<uint2> tile_candidates_;  // where a tile's start, and how many there are
  DeviceArray<uint32_t> tile_ties_;
  DeviceArray<uint64_t> group_kept_;  // of groups of tiles: what KeepLargest tells of each
  DeviceArray<uint32_t> taken_indices_;
  DeviceArray<float> taken_values_;
  DeviceArray<Outcome> outcome_;
};

}  // namespace cddp::cuda
