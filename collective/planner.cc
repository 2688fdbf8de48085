#include "collective/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "collective/agreement.h"
#include "collective/probe.h"
#include "core/median.h"

namespace cddp {
namespace {

constexpr uint32_t kUsualBucketElements = (25u << 20) / sizeof(float);

uint64_t EntriesOf(const std::vector<PlannedBucket>& buckets) {
  uint64_t entries = 0;
  for (const PlannedBucket& bucket : buckets) entries += bucket.entries;
  return entries;
}

Status RequireFits(const Plan& plan, int world_size) {
  if (plan.world_size != world_size) {
    return Status::InvalidArgument(
        fmt::format("the plan was made for {} workers, there are {}", plan.world_size, world_size));
  }
  for (const PlanChange& change : plan.changes) {
    if (change.ways.empty()) {
      return Status::InvalidArgument(
          fmt::format("the plan's change at step {} names no bucket", change.step));
    }
    if (change.ways.size() == plan.elements.size()) continue;
    return Status::InvalidArgument(
        fmt::format("the plan has {} buckets, but its change at step {} names {}",
                    plan.elements.size(), change.step, change.ways.size()));
  }
  if (!std::ranges::is_sorted(plan.changes, {}, &PlanChange::step)) {
    return Status::InvalidArgument("the plan's changes are not in the order of their steps");
  }
  return Status::Ok();
}

}  // namespace

Planner::Planner(Transport* transport, const AutoOptions& options)
    : transport_(transport),
      compression_(options.compression),
      owner_budget_(options.owner_budget),
      log_(options.log),
      frozen_(options.frozen != nullptr) {
  plan_.world_size = transport->world_size();
}

Status Planner::Create(Transport* transport, const AutoOptions& options,
                       std::unique_ptr<Planner>* planner) {
  std::unique_ptr<Planner> created(new Planner(transport, options));
  if (options.frozen != nullptr) {
    CDDP_RETURN_IF_ERROR(RequireFits(*options.frozen, transport->world_size()));
    created->plan_ = *options.frozen;
    created->settled_ = true;
  } else {
    MachineCosts& costs = created->costs_;
    CDDP_RETURN_IF_ERROR(Probe(transport, options.compression, &costs));
    const PlannedBucket usual{kUsualBucketElements,
                              SelectionCount(kUsualBucketElements, options.compression.ratio)};
    std::byte first{static_cast<uint8_t>(
        CandidatePlans(costs, options.owner_budget, std::span(&usual, 1)).front().ways[0])};
    CDDP_RETURN_IF_ERROR(BroadcastFromRank0(transport, std::span(&first, 1)));
    if (std::to_integer<size_t>(first) >= kWays) {
      return Status::Corrupt(
          fmt::format("rank 0 plans way {} of {}", std::to_integer<size_t>(first), kWays));
    }
    created->plan_.first = static_cast<Way>(first);
    if (options.begun != nullptr) {
      CDDP_RETURN_IF_ERROR(RequireFits(*options.begun, transport->world_size()));
      created->plan_ = *options.begun;
    }
    std::string lines = fmt::format(
        "auto, {} workers: selection {:.2f} ns an element; encoding {:.1f}, decoding {:.1f} ns an "
        "entry of {:.2f} bytes",
        costs.world_size, 1e9 * costs.select_per_element, 1e9 * costs.encode_per_entry,
        1e9 * costs.decode_per_entry, costs.bytes_per_entry);
    const auto add = [&](const char* what, const Curve& curve) {
      lines += fmt::format("\n  {}:", what);
      for (const auto& [bytes, seconds] : curve.points()) {
        lines += fmt::format("  {:.0f} KiB {:.2f} ms", bytes / 1024, 1e3 * seconds);
      }
    };
    add("exchange", costs.exchange);
    add("dense allreduce", costs.dense);
    created->Log(lines);
  }
  *planner = std::move(created);
  return Status::Ok();
}

void Planner::Log(const std::string& lines) const {
  if (log_ && transport_->rank() == 0) log_(lines);
}

Status Planner::BeginStep(uint64_t step, const std::vector<PlannedBucket>& buckets,
                          std::vector<Way>* ways) {
  if (frozen_) return Follow(step, buckets, ways);
  const auto now = Clock::now();
  if (timed_ && step == last_step_ + 1) {
    periods_.push_back(std::chrono::duration<double>(now - last_begin_).count());
  }
  // Other ratios (of a warm-up, say) are known to all ranks alike.
  const double entries = static_cast<double>(std::max<uint64_t>(1, EntriesOf(buckets)));
  const bool other_ratio =
      planned_entries_ > 0 &&
      std::max(entries / planned_entries_, planned_entries_ / entries) > kOtherRatio;
  if (ways_.empty() || step >= next_decision_ || other_ratio) {
    if (other_ratio) ways_.clear();  // as in the beginning
    if (ways_.empty()) planned_entries_ = entries;
    bool drifted = transport_->rank() == 0 && Drifted();
    CDDP_RETURN_IF_ERROR(AgreeWithRank0(transport_, &drifted));
    if (drifted) CDDP_RETURN_IF_ERROR(Probe(transport_, compression_, &costs_));
    if (transport_->rank() == 0) Decide(step, buckets, drifted);
    CDDP_RETURN_IF_ERROR(ShareDecision(step, buckets));
  }
  *ways = ways_;
  last_step_ = step;
  last_begin_ = Clock::now();
  timed_ = true;
  return Status::Ok();
}

// Rank 0's decision: the step of the next one, whether that is only a check, the ways.
Status Planner::ShareDecision(uint64_t step, const std::vector<PlannedBucket>& buckets) {
  std::vector<std::byte> message(sizeof(next_decision_) + 1 + buckets.size());
  if (transport_->rank() == 0) {
    std::memcpy(message.data(), &next_decision_, sizeof(next_decision_));
    message[sizeof(next_decision_)] = static_cast<std::byte>(settled_);
    for (size_t b = 0; b < buckets.size(); ++b) {
      message[sizeof(next_decision_) + 1 + b] = static_cast<std::byte>(ways_[b]);
    }
  }
  CDDP_RETURN_IF_ERROR(BroadcastFromRank0(transport_, message));
  std::memcpy(&next_decision_, message.data(), sizeof(next_decision_));
  settled_ = std::to_integer<int>(message[sizeof(next_decision_)]) != 0;
  if (next_decision_ <= step) {
    return Status::Corrupt(fmt::format("rank 0 plans its next decision for step {}, in step {}",
                                       next_decision_, step));
  }
  std::vector<Way> said;
  for (size_t b = 0; b < buckets.size(); ++b) {
    const auto way = std::to_integer<size_t>(message[sizeof(next_decision_) + 1 + b]);
    if (way >= kWays) {
      return Status::Corrupt(
          fmt::format("rank 0 plans way {} for bucket {}, of {}", way, b, kWays));
    }
    said.push_back(static_cast<Way>(way));
  }
  if (plan_.elements.empty()) {
    for (const PlannedBucket& bucket : buckets) plan_.elements.push_back(bucket.elements);
  }
  const bool same = !plan_.changes.empty() && plan_.changes.back().ways == said;
  if (!same) plan_.changes.push_back({step, said});
  ways_ = std::move(said);
  periods_.clear();
  return Status::Ok();
}

Status Planner::Follow(uint64_t step, const std::vector<PlannedBucket>& buckets,
                       std::vector<Way>* ways) {
  const bool fits = std::ranges::equal(plan_.elements, buckets, {}, {}, &PlannedBucket::elements);
  if (!plan_.elements.empty() && !fits) {
    return Status::InvalidArgument(
        fmt::format("the plan is of other buckets than these {}: was it made for another model, or "
                    "another bucket size?",
                    buckets.size()));
  }
  *ways = WaysAt(step);
  if (ways->empty()) ways->assign(buckets.size(), plan_.first);
  return Status::Ok();
}

std::vector<Way> Planner::WaysAt(uint64_t step) const {
  std::vector<Way> ways;
  for (const PlanChange& change : plan_.changes) {
    if (change.step <= step) ways = change.ways;
  }
  return ways;
}

// Whether settled steps take another time than when they were chosen.
bool Planner::Drifted() const {
  if (ways_.empty() || !settled_ || settled_seconds_ == 0 || periods_.empty()) return false;
  const double seconds = MedianOf(periods_);
  return std::max(seconds / settled_seconds_, settled_seconds_ / seconds) > kDrift;
}

void Planner::Decide(uint64_t step, const std::vector<PlannedBucket>& buckets, bool drifted) {
  if (ways_.empty()) {
    StartRace(buckets);
  } else if (drifted) {
    Log(fmt::format("auto: steps take {:.1f} ms now, {:.1f} ms when {} was chosen: trying again",
                    1e3 * MedianOf(periods_), 1e3 * settled_seconds_, NameOf(ways_)));
    // Should it change all the time, trying must not.
    check_steps_ = std::min(2 * check_steps_, kMostCheckSteps);
    StartRace(buckets);
  } else if (!settled_) {
    race_.Ran(periods_);
    if (race_.over()) {
      Log(fmt::format("auto: {}; steps of the plans tried:{}", NameOf(race_.ways()),
                      race_.Table()));
    }
  } else if (!periods_.empty()) {
    if (settled_seconds_ == 0) settled_seconds_ = MedianOf(periods_);
    check_steps_ = std::min(check_steps_ + kCheckSteps, kMostCheckSteps);
  }
  if (!settled_) {
    ways_ = race_.ways();
    settled_ = race_.over();
    settled_seconds_ = settled_ ? race_.seconds() : 0;  // 0: the next check measures it
  }
  next_decision_ = step + (settled_ ? check_steps_ : race_.steps());
}

void Planner::StartRace(const std::vector<PlannedBucket>& buckets) {
  const std::vector<PredictedPlan> plans = CandidatePlans(costs_, owner_budget_, buckets);
  Log(TableOf(buckets, plans));
  race_ = Race(plans, ways_, ways_.empty() ? 0 : MedianOf(periods_));
  settled_ = false;
  if (race_.over()) Log(fmt::format("auto: {}; nothing else is near", NameOf(race_.ways())));
}

// What the model predicts, a line for each bucket and one for the step.
std::string Planner::TableOf(const std::vector<PlannedBucket>& buckets,
                             const std::vector<PredictedPlan>& plans) const {
  std::string table =
      fmt::format("auto, predicted ms:\n  {:>8} {:>12} {:>10}", "bucket", "elements", "entries");
  for (size_t w = 0; w < kWays; ++w) {
    table += fmt::format(" {:>10}", WayName(static_cast<Way>(w)));
  }
  for (size_t b = 0; b < buckets.size(); ++b) {
    table += fmt::format("\n  {:>8} {:>12} {:>10}", b, buckets[b].elements, buckets[b].entries);
    for (size_t w = 0; w < kWays; ++w) {
      const StageSeconds stages = Predict(costs_, owner_budget_, buckets[b], static_cast<Way>(w));
      table += fmt::format(" {:10.2f}", 1e3 * (stages.prepare + stages.exchange));
    }
  }
  for (const PredictedPlan& plan : plans) {
    table += fmt::format("\n  a step, {}: {:.2f}", NameOf(plan.ways), 1e3 * plan.seconds);
  }
  return table;
}

}  // namespace cddp
