// The planner of `auto`: decides, on rank 0, which way each bucket goes, and tells the
// other ranks.
//
// The first step goes the way that the model thinks best for a bucket of 25 MiB, for
// buckets are not known before. Then the plans that are predicted to be near the best race
// (race.h); a step lasts from BeginStep to BeginStep, so with all that overlaps. The winner
// stays. Every kCheckSteps steps or more rarely, rank 0 compares the last steps' length with
// what it was then: beyond a factor of kDrift all ranks probe anew and plans race again, the
// one in use with them. They race again, too, when the ratio has changed by more than
// kOtherRatio.
//
// One thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cddp/collective.h"
#include "collective/cost_model.h"
#include "collective/race.h"

namespace cddp {

class Planner {
 public:
  static constexpr uint64_t kCheckSteps = 100;
  static constexpr uint64_t kMostCheckSteps = 10'000;
  static constexpr double kDrift = 1.25;
  static constexpr double kOtherRatio = 1.5;

  // Probes, unless there is a frozen plan. Collective.
  static Status Create(Transport* transport, const AutoOptions& options,
                       std::unique_ptr<Planner>* planner);

  // The way of each bucket in this step. `buckets` are those of every step. Collective.
  Status BeginStep(uint64_t step, const std::vector<PlannedBucket>& buckets,
                   std::vector<Way>* ways);

  // The ways of a given plan in this step, without knowing the buckets; empty before its
  // first change.
  std::vector<Way> WaysAt(uint64_t step) const;

  const Plan& plan() const { return plan_; }
  bool frozen() const { return frozen_; }
  bool settled() const { return settled_; }

 private:
  Planner(Transport* transport, const AutoOptions& options);

  Status Follow(uint64_t step, const std::vector<PlannedBucket>& buckets, std::vector<Way>* ways);
  // Rank 0 only: what comes from this step on.
  bool Drifted() const;
  void Decide(uint64_t step, const std::vector<PlannedBucket>& buckets, bool drifted);
  void StartRace(const std::vector<PlannedBucket>& buckets);
  Status ShareDecision(uint64_t step, const std::vector<PlannedBucket>& buckets);
  void Log(const std::string& lines) const;
  std::string TableOf(const std::vector<PlannedBucket>& buckets,
                      const std::vector<PredictedPlan>& plans) const;

  Transport* transport_;
  const CompressorOptions compression_;
  const double owner_budget_;
  const std::function<void(const std::string&)> log_;
  const bool frozen_;
  MachineCosts costs_;

  Plan plan_;
  std::vector<Way> ways_;       // now
  uint64_t next_decision_ = 0;  // step
  double planned_entries_ = 0;  // of a step, when plans were last tried for its ratio
  bool settled_ = false;

  // Rank 0.
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_begin_;
  uint64_t last_step_ = 0;
  bool timed_ = false;           // last_begin_ is that of the step before
  std::vector<double> periods_;  // seconds of steps since the last decision
  Race race_;
  double settled_seconds_ = 0;
  uint64_t check_steps_ = kCheckSteps;
};

}  // namespace cddp
