#include "collective/path_collective.h"

#include <fmt/format.h>

#include <utility>

#include "collective/agreed_budgets.h"

namespace cddp {

CollectiveTimes& CollectiveTimes::operator+=(const CollectiveTimes& other) {
  select += other.select;
  encode += other.encode;
  exchange += other.exchange;
  decode += other.decode;
  apply += other.apply;
  return *this;
}

Status Collective::AllReduceMean(const Bucket& bucket) {
  CDDP_RETURN_IF_ERROR(BeginStep(bucket.step));
  CDDP_RETURN_IF_ERROR(Prepare(bucket));
  return Exchange(bucket);
}

PathCollective::PathCollective(PathParts parts, Way way) : parts_(std::move(parts)), way_(way) {
  auto& path = paths_[static_cast<size_t>(way)];
  switch (way) {
    case Way::kDense:
      path = MakeDensePath(&parts_);
      break;
    case Way::kGather:
      path = MakeGatherPath(&parts_);
      break;
    case Way::kSplit:
      path = MakeSplitPath(&parts_);
      break;
  }
}

PathCollective::PathCollective(PathParts parts, std::unique_ptr<Planner> planner)
    : parts_(std::move(parts)),
      paths_{MakeDensePath(&parts_), MakeGatherPath(&parts_), MakeSplitPath(&parts_)},
      way_(planner->plan().first),
      planner_(std::move(planner)) {}

Status PathCollective::BeginStep(uint64_t step) {
  if (begun_ && step == step_) return Status::Ok();
  begun_ = true;
  step_ = step;
  CDDP_RETURN_IF_ERROR(changed_);
  if (parts_.compressor) {
    CDDP_RETURN_IF_ERROR(AgreeOnBudgets(step, parts_.transport, parts_.compressor.get()));
  }
  if (!planner_) return Status::Ok();
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

Status PathCollective::Change(const std::vector<Way>& ways) {
  for (const auto& [index, bucket] : known_) {
    const Way before = ways_.empty() ? way_ : ways_[index];
    if (before == ways[index]) continue;
    CDDP_RETURN_IF_ERROR(paths_[static_cast<size_t>(before)]->Leave(bucket.parameters));
  }
  ways_ = ways;
  return Status::Ok();
}

// In a run that goes on owners may hold what they kept of buckets that went by split then and do
// not now: nobody would send it.
Status PathCollective::LeaveOwners() {
  for (const auto& [index, bucket] : known_) {
    Path* const split = paths_[static_cast<size_t>(Way::kSplit)].get();
    if (&PathOf(index) == split) continue;
    CDDP_RETURN_IF_ERROR(split->Leave(bucket.parameters));
  }
  return Status::Ok();
}

Path& PathCollective::PathOf(uint32_t bucket) {
  return *paths_[static_cast<size_t>(ways_.empty() ? way_ : ways_[bucket])];
}

// A planner decides by buckets: they must stay what they were.
Status PathCollective::Learn(const Bucket& bucket) {
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

Status PathCollective::Prepare(const Bucket& bucket) {
  if (planner_) CDDP_RETURN_IF_ERROR(Learn(bucket));
  return PathOf(bucket.index).Prepare(bucket);
}

Status PathCollective::Exchange(const Bucket& bucket) {
  bool finite = true;
  CDDP_RETURN_IF_ERROR(PathOf(bucket.index).Exchange(bucket, &finite));
  void_ |= !finite;
  return Status::Ok();
}

StepOutcome PathCollective::EndStep() {
  const bool is_void = std::exchange(void_, false);
  if (parts_.compressor) parts_.compressor->EndStep(/*commit=*/!is_void);
  if (parts_.owner) parts_.owner->EndStep(/*commit=*/!is_void);
  // After the first step, when all buckets are known and nothing is in flight.
  if (planner_ && !std::exchange(owners_left_, true)) changed_ = LeaveOwners();
  if (changed_.ok() && planner_ && planner_->frozen()) {
    // Now and not in the next BeginStep: what is saved in between is then as the next step
    // finds it, and buckets that are not known yet have nothing to leave.
    const std::vector<Way> next = planner_->WaysAt(step_ + 1);
    if (!next.empty() && next.size() == known_.size()) changed_ = Change(next);
  }
  return is_void ? StepOutcome::kVoid : StepOutcome::kCommitted;
}

CollectiveTimes PathCollective::times() const {
  CollectiveTimes times = parts_.prepare_times;
  times += parts_.exchange_times;
  return times;
}

std::unique_ptr<Collective> MakeDenseCollective(Transport* transport) {
  return std::make_unique<PathCollective>(PathParts{.transport = transport}, Way::kDense);
}

std::unique_ptr<Collective> MakeGatherCollective(Transport* transport,
                                                 std::unique_ptr<Compressor> compressor) {
  return std::make_unique<PathCollective>(
      PathParts{.transport = transport, .compressor = std::move(compressor)}, Way::kGather);
}

Status MakeSplitCollective(Transport* transport, const CompressorOptions& options,
                           double owner_budget, std::unique_ptr<Collective>* collective) {
  PathParts parts{.transport = transport, .owner_budget = owner_budget};
  CDDP_RETURN_IF_ERROR(MakeOwner(options, owner_budget, &parts.owner));
  CDDP_RETURN_IF_ERROR(Compressor::Create(options, &parts.compressor));
  *collective = std::make_unique<PathCollective>(std::move(parts), Way::kSplit);
  return Status::Ok();
}

Status MakeAutoCollective(Transport* transport, const AutoOptions& options,
                          std::unique_ptr<Collective>* collective) {
  PathParts parts{.transport = transport, .owner_budget = options.owner_budget};
  CDDP_RETURN_IF_ERROR(MakeOwner(options.compression, options.owner_budget, &parts.owner));
  CDDP_RETURN_IF_ERROR(Compressor::Create(options.compression, &parts.compressor));
  std::unique_ptr<Planner> planner;
  CDDP_RETURN_IF_ERROR(Planner::Create(transport, options, &planner));
  *collective = std::make_unique<PathCollective>(std::move(parts), std::move(planner));
  return Status::Ok();
}

}  // namespace cddp
