// The planner of `auto`: decides, on rank 0, which way each bucket goes, and tells the
// other ranks.
//
// The first step goes the way that the model thinks best for a bucket of 25 MiB, for
// buckets are not known before. Then the plans whose prediction is within kWorthTrying of
// the best (predictions from a busy machine can be far off) are tried in kTrialRounds rounds,
// kTrialSteps steps each in the first and twice as many in each further one. Out of the race
// is a plan none of whose steps (from BeginStep to BeginStep, so with all that overlaps) was
// as short as the best one's median: what is clearly slower costs little, what is near is
// timed long. The shortest median of the last round stays. Every kCheckSteps steps or more
// rarely, rank 0 compares the last steps' length with what it was then: beyond a
// factor of kDrift all ranks probe anew and plans are tried again; the one in use then
// has to be beaten by a factor of kWorthChanging. They are tried again, too, when the
// ratio has changed by more than kOtherRatio.
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

namespace cddp {

class Planner {
 public:
  static constexpr double kWorthTrying = 5.0;
  static constexpr uint64_t kTrialSteps = 5;  // the first, in which memories move, is not timed
  static constexpr int kTrialRounds = 3;
  static constexpr uint64_t kCheckSteps = 100;
  static constexpr uint64_t kMostCheckSteps = 10'000;
  static constexpr double kDrift = 1.25;
  static constexpr double kWorthChanging = 1.05;
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
  void StartTrials(const std::vector<PlannedBucket>& buckets);
  void EndTrial();
  void EndRound();
  void Settle();
  Status ShareDecision(uint64_t step, const std::vector<PlannedBucket>& buckets);
  void Log(const std::string& lines) const;
  std::string TableOf(const std::vector<PlannedBucket>& buckets) const;

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
  struct Trial {
    Candidate plan;
    std::vector<double> seconds;  // of the steps in the last round that it was in
    bool out = false;             // of the race
  };
  std::vector<Trial> trials_;
  size_t trial_ = 0;  // the one under way
  int round_ = 0;
  double settled_seconds_ = 0;
  std::vector<Way> incumbent_;  // in use before the trials
  uint64_t check_steps_ = kCheckSteps;
};

}  // namespace cddp
