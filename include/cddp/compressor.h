// Compressor: one rank's way from a bucket to a frame, through memory, selection
// and wire.
//
//   accumulate (memory.h) -> select (selection.h) -> encode (frame.h)
//     -> take what the frame decodes to out of the memory
//
// Selection is per parameter. Parameters of at most `whole_limit` elements go
// whole: biases and normalisation scales are few and matter.
//
// One object per rank; not thread safe. Deterministic, whatever the number of
// threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

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

// A large parameter's share of the entries (budget.h).
struct ParameterBudget {
  size_t elements = 0;
  double energy = 0;   // of this rank's gradient in the step before a plan
  size_t entries = 0;  // 0: by the ratio
};

// What a rank's later frames depend on besides its options and gradients.
struct CompressorState {
  double ratio = 0.01;
  std::map<std::string, ParameterBudget, std::less<>> budgets;
  Selector::State selector;
  MemoryState memory;
};

// What was taken out of a bucket.
struct TakenEntries {
  Selection selection;           // indices in the bucket, ascending
  std::vector<size_t> run_ends;  // where the entries of each parameter end
  bool finite = true;            // if not, there are no entries

  void Clear() {
    selection.Clear();
    run_ends.clear();
  }
};

// Sums since the start or the last reset.
struct CompressionStatistics {
  uint64_t calls = 0;          // buckets taken from
  uint64_t elements = 0;       // gradients that came in
  uint64_t entries = 0;        // entries selected
  uint64_t selections = 0;     // parameters selected from, those that go whole left out
  uint64_t second_sweeps = 0;  // of those, how many needed a second sweep
  uint64_t bytes_in = 0;       // 4 per element
  uint64_t bytes_out = 0;      // frames, headers included
  std::chrono::nanoseconds time{0};
};

// Of one parameter, sums since the start.
struct ParameterStatistics {
  uint32_t elements = 0;
  uint64_t steps = 0;    // in which it was compressed
  uint64_t entries = 0;  // entries selected
};
using StatisticsByParameter = std::map<std::string, ParameterStatistics, std::less<>>;

class Compressor {
 public:
  // InvalidArgument for a ratio outside (0, 1] or an unknown name.
  static Status Create(const CompressorOptions& options, std::unique_ptr<Compressor>* compressor);

  // The most entries that a frame of this bucket holds (and with the selectors topk,
  // randomk and block it holds as many): the same number on every rank.
  size_t EntryCount(const Bucket& bucket) const;
  size_t EntryCount(const BucketParameter& parameter) const;

  const FrameFormat& format() const { return options_.format; }

  // Changes the ratio from the next bucket on; every rank at the same step.
  // InvalidArgument outside (0, 1].
  Status SetRatio(double ratio);
  double ratio() const { return options_.ratio; }

  // Budgets. Before the first bucket of each step for which PlanDue(step), every rank
  // passes the same energies: the sums over the ranks of Energies(), which are of the
  // step before and in the order of the parameters' names. Energies that are not
  // finite leave the budgets as they are.
  bool PlanDue(uint64_t step) const;
  std::vector<double> Energies() const;
  void Plan(std::span<const double> energies);

  // Replaces *frame by the frame of `bucket` sent by `rank`. A non-finite
  // gradient gives a frame without entries that says so.
  Status Compress(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame);

  // The same in steps, for who sends the entries in frames of their own. Take moves the
  // entries of `bucket` (EntryCount of each parameter, or counts[p]) from the memory to
  // taken(). The caller replaces their values by what receivers decode and calls Settle
  // with the values that they had: what was rounded away goes back into the memory.
  Status Take(const Bucket& bucket);
  Status Take(const Bucket& bucket, std::span<const size_t> counts);
  TakenEntries& taken() { return taken_; }
  void Settle(const Bucket& bucket, std::span<const float> values);
  // What Compress does after Take.
  Status EncodeTaken(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame);
  // For a dense step: bucket.values become all that was accumulated for the bucket.
  Status TakeAll(const Bucket& bucket);
  // Adds a frame of the caller's to the statistics.
  void CountFrame(size_t bytes) { statistics_.bytes_out += bytes; }

  // Ends the step for all its buckets. Every rank passes the same value.
  void EndStep(bool commit);

  // Between steps. One that has loaded what another of the same options has saved
  // goes on as that one would. Load refuses (InvalidArgument) a ratio or budgets out of
  // range and what Memory::Load refuses; the state is as before then.
  CompressorState Save() const;
  Status Load(const CompressorState& state);

  Memory& memory() { return *memory_; }
  const Memory& memory() const { return *memory_; }

  const CompressionStatistics& statistics() const { return statistics_; }
  const StatisticsByParameter& parameter_statistics() const { return parameter_statistics_; }
  void ResetStatistics();

 private:
  explicit Compressor(const CompressorOptions& options) : options_(options) {}

  void MeasureEnergy(const BucketParameter& parameter, std::span<const float> gradient);
  void Count(const Bucket& bucket);
  void TakeWhole(const BucketParameter& parameter, Accumulation& accumulation);

  CompressorOptions options_;
  std::unique_ptr<Selector> selector_;
  std::unique_ptr<Memory> memory_;
  CompressionStatistics statistics_;
  StatisticsByParameter parameter_statistics_;
  uint64_t selections_before_ = 0;  // counted by the selector before the last reset
  uint64_t second_sweeps_before_ = 0;
  TakenEntries taken_;
  std::vector<size_t> counts_;
  std::map<std::string, ParameterBudget, std::less<>> budgets_;
  uint64_t last_step_ = 0;
  std::vector<float> values_;  // of taken_, before the codec rounded them
};

}  // namespace cddp
