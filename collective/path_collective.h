// The Collective over paths: which path a bucket takes in a step is fixed, or the
// planner's decision.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "cddp/collective.h"
#include "collective/path.h"
#include "collective/planner.h"

namespace cddp {

class PathCollective final : public Collective {
 public:
  // All buckets go `way`. `parts` hold what that way needs.
  PathCollective(PathParts parts, Way way);
  // `parts` hold all that there is.
  PathCollective(PathParts parts, std::unique_ptr<Planner> planner);

  std::string_view name() const override { return planner_ ? "auto" : WayName(way_); }
  Status BeginStep(uint64_t step) override;
  Status Prepare(const Bucket& bucket) override;
  Status Exchange(const Bucket& bucket) override;
  StepOutcome EndStep() override;

  Compressor* compressor() override { return parts_.compressor.get(); }
  Memory* owner_memory() override { return parts_.owner ? &parts_.owner->memory() : nullptr; }
  CollectiveTimes times() const override;
  const Plan* plan() const override { return planner_ ? &planner_->plan() : nullptr; }
  bool settled() const override { return !planner_ || planner_->settled(); }

 private:
  // What is known of a bucket since its first step.
  struct Known {
    std::vector<BucketParameter> parameters;
    size_t entries = 0;
    uint32_t elements = 0;
  };
  Path& PathOf(uint32_t bucket);
  Status Learn(const Bucket& bucket);
  Status Change(const std::vector<Way>& ways);
  Status LeaveOwners();

  PathParts parts_;
  std::array<std::unique_ptr<Path>, kWays> paths_;
  const Way way_;  // of all buckets, or until the planner knows them
  std::unique_ptr<Planner> planner_;
  std::vector<Way> ways_;            // by bucket; empty: way_
  std::map<uint32_t, Known> known_;  // with a planner
  Status changed_;                   // of the last EndStep
  bool owners_left_ = false;
  bool begun_ = false;
  uint64_t step_ = 0;
  bool void_ = false;
};

}  // namespace cddp
