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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/compression.h"
#include "cddp/frame.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"

namespace cddp {

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

class Compressor final : public Compression {
 public:
  // InvalidArgument for an unknown name and an option out of range, such as a ratio outside
  // (0, 1]; Unavailable when the selector's threads could not be started.
  static Status Create(const CompressorOptions& options, std::unique_ptr<Compressor>* compressor);

  // The most entries that a frame of this bucket holds (and with the selectors topk,
  // randomk and block it holds as many): the same number on every rank.
  size_t EntryCount(const Bucket& bucket) const;
  size_t EntryCount(const BucketParameter& parameter) const;

  const FrameFormat& format() const { return options_.format; }

  Status SetRatio(double ratio) override;
  double ratio() const override { return options_.ratio; }
  std::string_view memory_name() const override { return memory_->name(); }
  NormByParameter ResidualNorms() const override;

  // Budgets. Before the first bucket of each step for which BudgetsDue(step), every rank
  // passes the same energies: the sums over the ranks of Energies(), which are of the
  // step before and in the order of the parameters' names. After a void step there are
  // none (all 0), and the budgets stay as they are.
  bool BudgetsDue(uint64_t step) const;
  std::vector<double> Energies() const;
  void ShareBudgets(std::span<const double> energies);

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
  Status AccumulateAll(const Bucket& bucket);
  // Adds a frame to the statistics: those of the caller's own making.
  void CountFrame(size_t bytes) { statistics_.bytes_out += bytes; }

  // Ends the step for all its buckets. Every rank passes the same value.
  void EndStep(bool commit);

  // Never fails. Budgets are loaded only where they are adaptive.
  Status Save(CompressorState* state) const override;
  Status Load(const CompressorState& state) override;

  Memory& memory() { return *memory_; }
  const Memory& memory() const { return *memory_; }

 private:
  explicit Compressor(const CompressorOptions& options) : options_(options) {}

  void MeasureEnergy(uint64_t step, const BucketParameter& parameter,
                     std::span<const float> gradient);
  void TakeWhole(const BucketParameter& parameter, Accumulation& accumulation);

  CompressorOptions options_;
  std::unique_ptr<Selector> selector_;
  std::unique_ptr<Memory> memory_;
  TakenEntries taken_;
  std::vector<size_t> counts_;
  BudgetByParameter budgets_;
  uint64_t last_step_ = 0;
  std::vector<float> values_;  // of taken_, before the codec rounded them
};

}  // namespace cddp
