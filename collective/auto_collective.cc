// Each bucket takes the path that the planner has decided for it.
#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "collective/path_collective.h"
#include "collective/planner.h"

namespace cddp {
namespace {

class AutoCollective final : public PathCollective {
 public:
  // `parts` hold all that there is.
  AutoCollective(PathParts parts, std::unique_ptr<Planner> planner)
      : PathCollective(std::move(parts)),
        paths_{MakePath(Way::kDense, &parts_), MakePath(Way::kGather, &parts_),
               MakePath(Way::kSplit, &parts_)},
        first_(planner->plan().first),
        planner_(std::move(planner)) {}

  std::string_view name() const override { return "auto"; }
  const Plan* plan() const override { return &planner_->plan(); }
  bool settled() const override { return planner_->settled(); }

  Status Prepare(const Bucket& bucket) override {
    CDDP_RETURN_IF_ERROR(Learn(bucket));
    return PathCollective::Prepare(bucket);
  }

  StepOutcome EndStep() override {
    const StepOutcome outcome = PathCollective::EndStep();
    // After the first step, when all buckets are known and nothing is in flight.
    if (!std::exchange(owners_left_, true)) changed_ = LeaveOwners();
    if (changed_.ok() && planner_->frozen()) {
      // Now and not in the next BeginStep: what is saved in between is then as the next step
      // finds it, and buckets that are not known yet have nothing to leave.
      const std::vector<Way> next = planner_->WaysAt(step_ + 1);
      if (!next.empty() && next.size() == known_.size()) changed_ = Change(next);
    }
    return outcome;
  }

 private:
  // What is known of a bucket since its first step.
  struct Known {
    std::vector<BucketParameter> parameters;
    size_t entries = 0;
    uint32_t elements = 0;
  };

  Way WayOf(uint32_t bucket) const { return ways_.empty() ? first_ : ways_[bucket]; }
  Path& PathOf(uint32_t bucket) override { return *paths_[static_cast<size_t>(WayOf(bucket))]; }

  Status Begin(uint64_t step) override {
    step_ = step;
    CDDP_RETURN_IF_ERROR(changed_);
    if (known_.empty()) {
      // A run that goes on: the plan tells what the buckets are still to show.
      ways_ = planner_->WaysAt(step);
      return Status::Ok();
    }
    std::vector<PlannedBucket> buckets;
    for (const auto& [index, bucket] : known_) buckets.push_back({bucket.elements, bucket.entries});
    std::vector<Way> ways;
    CDDP_RETURN_IF_ERROR(planner_->BeginStep(step, buckets, &ways));
    return Change(ways);
  }

  Status Change(const std::vector<Way>& ways) {
    for (const auto& [index, bucket] : known_) {
      const Way before = WayOf(index);
      if (before == ways[index]) continue;
      CDDP_RETURN_IF_ERROR(paths_[static_cast<size_t>(before)]->Leave(bucket.parameters));
    }
    ways_ = ways;
    return Status::Ok();
  }

  // In a run that goes on owners may hold what they kept of buckets that went by split then and do
  // not now: nobody would send it.
  Status LeaveOwners() {
    Path& split = *paths_[static_cast<size_t>(Way::kSplit)];
    for (const auto& [index, bucket] : known_) {
      if (WayOf(index) == Way::kSplit) continue;
      CDDP_RETURN_IF_ERROR(split.Leave(bucket.parameters));
    }
    return Status::Ok();
  }

  // A planner decides by buckets: they must stay what they were.
  Status Learn(const Bucket& bucket) {
    const auto it = known_.find(bucket.index);
    if (it == known_.end()) {
      if ((!ways_.empty() && bucket.index >= ways_.size()) || bucket.index != known_.size()) {
        return Status::InvalidArgument(fmt::format(
            "bucket {} was not in the step before, but the plan is by buckets", bucket.index));
      }
      if (!ways_.empty()) {
        const uint32_t planned = planner_->plan().elements[bucket.index];
        if (planned != bucket.values.size()) {
          return Status::InvalidArgument(
              fmt::format("the plan is of other buckets: {} elements in bucket {}, not {}", planned,
                          bucket.index, bucket.values.size()));
        }
      }
      known_[bucket.index] = {.parameters = {bucket.parameters.begin(), bucket.parameters.end()},
                              .entries = parts_.compressor->EntryCount(bucket),
                              .elements = static_cast<uint32_t>(bucket.values.size())};
      return Status::Ok();
    }
    it->second.entries = parts_.compressor->EntryCount(bucket);
    if (std::ranges::equal(it->second.parameters, bucket.parameters)) return Status::Ok();
    return Status::InvalidArgument(
        fmt::format("bucket {} has other parameters than in the step before, but the plan is by "
                    "buckets",
                    bucket.index));
  }

  std::array<std::unique_ptr<Path>, kWays> paths_;
  const Way first_;  // of all buckets, until the planner knows them
  std::unique_ptr<Planner> planner_;
  std::vector<Way> ways_;  // by bucket; empty: first_
  std::map<uint32_t, Known> known_;
  Status changed_;  // of the last EndStep
  bool owners_left_ = false;
  uint64_t step_ = 0;
};

}  // namespace

Status MakeAutoCollective(Transport* transport, const AutoOptions& options,
                          std::unique_ptr<Collective>* collective) {
  PathParts parts{.transport = transport, .owner_budget = options.owner_budget};
  CDDP_RETURN_IF_ERROR(MakeOwner(options.compression, options.owner_budget, &parts.owner));
  CDDP_RETURN_IF_ERROR(Compressor::Create(options.compression, &parts.compressor));
  std::unique_ptr<Planner> planner;
  CDDP_RETURN_IF_ERROR(Planner::Create(transport, options, &planner));
  *collective = std::make_unique<AutoCollective>(std::move(parts), std::move(planner));
  return Status::Ok();
}

}  // namespace cddp
