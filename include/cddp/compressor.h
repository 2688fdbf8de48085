// Compressor: one rank's way from a bucket to a frame, through memory, selection
// and wire.
//
//   accumulate (memory.h) -> select (selection.h) -> encode (frame.h)
//     -> take what the frame decodes to out of the memory
//
// Selection is per parameter. Parameters of at most `whole_limit` elements go
// whole: biases and normalisation scales are few and matter.
//
// One object per rank; not thread safe. Deterministic.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"

namespace cddp {

struct CompressorOptions {
  double ratio = 0.01;          // share of a parameter's entries that is sent, in (0, 1]
  uint32_t whole_limit = 1024;  // elements
  std::string selector = "topk";
  std::string memory = "residual";  // "none" or "residual"
};

// Sums since the start or the last reset.
struct CompressionStatistics {
  uint64_t calls = 0;      // buckets compressed
  uint64_t elements = 0;   // gradients that came in
  uint64_t entries = 0;    // entries selected
  uint64_t bytes_in = 0;   // 4 per element
  uint64_t bytes_out = 0;  // frames, headers included
  std::chrono::nanoseconds time{0};
};

class Compressor {
 public:
  // InvalidArgument for a ratio outside (0, 1] or an unknown name.
  static Status Create(const CompressorOptions& options, std::unique_ptr<Compressor>* compressor);

  // Entries that a frame of this bucket holds: the same number on every rank.
  size_t EntryCount(const Bucket& bucket) const;

  // Replaces *frame by the frame of `bucket` sent by `rank`. A non-finite
  // gradient gives a frame without entries that says so.
  Status Compress(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame);

  // Ends the step for all its buckets. Every rank passes the same value.
  void EndStep(bool commit);

  Memory& memory() { return *memory_; }
  const Memory& memory() const { return *memory_; }

  const CompressionStatistics& statistics() const { return statistics_; }
  void ResetStatistics() { statistics_ = {}; }

 private:
  explicit Compressor(const CompressorOptions& options) : options_(options) {}

  size_t EntryCount(const BucketParameter& parameter) const;

  CompressorOptions options_;
  std::unique_ptr<Selector> selector_;
  std::unique_ptr<Memory> memory_;
  CompressionStatistics statistics_;
  Selection selection_;       // of the bucket
  std::vector<size_t> ends_;  // end of each parameter's entries in selection_
};

}  // namespace cddp
