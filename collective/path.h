// A path: one way of a bucket from the ranks' gradients to their mean, in the two
// stages of a Collective. Paths of one collective share the memories, so that a bucket
// may take another one in the next step.
//
// Prepare and Exchange may run at the same time, for different buckets; each on one
// thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "cddp/bucket.h"
#include "cddp/collective.h"
#include "cddp/compressor.h"
#include "cddp/transport.h"
#include "collective/lap.h"

namespace cddp {

// What the paths of one rank's collective have in common.
struct PathParts {
  Transport* transport;
  std::unique_ptr<Compressor> compressor;  // null: nothing is compressed
  std::unique_ptr<Compressor> owner;       // of what this rank owns; null without split
  double owner_budget = 1;
  // One for each stage, since both may run at once.
  CollectiveTimes prepare_times;
  CollectiveTimes exchange_times;
};

class Path {
 public:
  virtual ~Path() = default;
  virtual Status Prepare(const Bucket& bucket) = 0;
  // Sets *finite to false where the step must be voided.
  virtual Status Exchange(const Bucket& bucket, bool* finite) = 0;
  // The bucket will not take this path in the next step: what it keeps for the bucket
  // goes into the memory that all paths share. Between steps.
  virtual Status Leave(std::span<const BucketParameter>) { return Status::Ok(); }
};

std::unique_ptr<Path> MakeDensePath(PathParts* parts);
std::unique_ptr<Path> MakeGatherPath(PathParts* parts);
std::unique_ptr<Path> MakeSplitPath(PathParts* parts);
std::unique_ptr<Path> MakePath(Way way, PathParts* parts);

// Of the options of a rank's compressor, those of its compressor as an owner.
Status MakeOwner(const CompressorOptions& options, double owner_budget,
                 std::unique_ptr<Compressor>* owner);

// What is kept of each bucket between its stages, and from step to step.
template <typename Flight>
class Flights {
 public:
  Flight& operator[](uint32_t bucket) {
    const std::lock_guard lock(mutex_);
    return flights_[bucket];
  }

 private:
  std::mutex mutex_;
  std::map<uint32_t, Flight> flights_;
};

// What every rank finds in a bucket of a void step.
inline void FillWithNaN(std::span<float> values) {
  std::ranges::fill(values, std::numeric_limits<float>::quiet_NaN());
}

}  // namespace cddp
