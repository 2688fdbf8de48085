// Compression: what a training run needs of a rank's compressor between steps, wherever the
// gradients are: Compressor (compressor.h) is for those in the host's memory,
// DeviceCompressor (device_compressor.h) for those in a device's.
//
// One thread at a time, between steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "cddp/bucket.h"
#include "cddp/frame.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"

namespace cddp {

struct CompressorOptions {
  double ratio = 0.01;          // share of a parameter's entries that is sent, in (0, 1]
  uint32_t whole_limit = 1024;  // elements
  SelectorOptions selector;
  MemoryOptions memory;
  FrameFormat format;
  // Steps between two plans of the parameters' budgets (budget.h); 0: uniform.
  uint32_t adaptive_every = 0;
};

// The entries that are sent of a parameter of `elements` elements that has no budget.
size_t EntriesByRatio(const CompressorOptions& options, uint32_t elements);

// Of the frame of the whole bucket that `rank` sends.
inline FrameId FrameIdOf(const Bucket& bucket, uint32_t rank) {
  return {.step = bucket.step,
          .bucket = bucket.index,
          .rank = rank,
          .elements = static_cast<uint32_t>(bucket.values.size())};
}

// A large parameter's share of the entries (budget.h).
struct ParameterBudget {
  size_t elements = 0;
  double energy = 0;   // of this rank's gradient in the step before budgets are shared out
  size_t entries = 0;  // 0: by the ratio
};
using BudgetByParameter = std::map<std::string, ParameterBudget, std::less<>>;

// What a rank's later frames depend on besides its options and gradients.
struct CompressorState {
  double ratio = 0.01;
  BudgetByParameter budgets;
  Selector::State selector;
  std::string memory_name;  // that `memory` is of; empty: not known
  MemoryState memory;
};

// Sums since the start.
struct CompressionStatistics {
  uint64_t elements = 0;       // gradients that came in
  uint64_t entries = 0;        // entries selected
  uint64_t selections = 0;     // parameters selected from, those that go whole left out
  uint64_t second_sweeps = 0;  // of those, how many needed a second sweep
  uint64_t bytes_out = 0;      // frames, headers included
};

// Of one parameter, sums since the start.
struct ParameterStatistics {
  uint32_t elements = 0;
  uint64_t steps = 0;    // in which it was compressed
  uint64_t entries = 0;  // entries selected
};
using StatisticsByParameter = std::map<std::string, ParameterStatistics, std::less<>>;

class Compression {
 public:
  virtual ~Compression() = default;

  // Changes the ratio from the next bucket on; every rank at the same step.
  // InvalidArgument outside (0, 1].
  virtual Status SetRatio(double ratio) = 0;
  virtual double ratio() const = 0;

  virtual std::string_view memory_name() const = 0;

  // L2 norms of what the memory keeps of each parameter to be sent later. One pass over it.
  virtual NormByParameter ResidualNorms() const = 0;

  // One that has loaded what another of the same options has saved goes on as that one
  // would, on whatever device. Load refuses (InvalidArgument) a ratio or budgets out of
  // range, the state of another kind of memory and what Memory::Load refuses; the state is as
  // before then.
  virtual Status Save(CompressorState* state) const = 0;
  virtual Status Load(const CompressorState& state) = 0;

  const CompressionStatistics& statistics() const { return statistics_; }
  const StatisticsByParameter& parameter_statistics() const { return parameter_statistics_; }

 protected:
  // Counts the entries taken out of a bucket, of which those of parameter p end at
  // run_ends[p]; no run_ends where nothing was taken.
  void Count(const Bucket& bucket, std::span<const size_t> run_ends);

  CompressionStatistics statistics_;

 private:
  StatisticsByParameter parameter_statistics_;
};

}  // namespace cddp
