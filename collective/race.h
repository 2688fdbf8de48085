// Race: which of several plans makes the shortest steps, by trying them.
//
// In kRounds rounds each plan that is in the race runs for kFirstSteps steps, in each further
// round twice as many. Out of the race is a plan none of whose steps was as short as the best
// one's median: what is clearly slower costs little, what is near is timed long. The shortest
// median of the last round wins.
//
// No clock in here: who runs the steps times them. Deterministic.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cddp/plan.h"
#include "collective/cost_model.h"

namespace cddp {

class Race {
 public:
  // Predictions from a busy machine can be far off: so much slower is worth trying.
  static constexpr double kWorthTrying = 5.0;
  static constexpr uint64_t kFirstSteps = 5;
  static constexpr int kRounds = 3;
  // A plan in use must be beaten by that.
  static constexpr double kWorthChanging = 1.05;

  Race() = default;  // over, and nobody has won
  // Of the plans, fastest by prediction first, those whose prediction is at most kWorthTrying
  // times the first one's, and the plan in use (its ways; empty: none), whose steps take
  // `seconds` now.
  Race(const std::vector<PredictedPlan>& plans, const std::vector<Way>& in_use, double seconds);

  bool over() const { return over_; }
  // Of the plan to run next, for steps() steps; when the race is over, the winner's.
  const std::vector<Way>& ways() const { return trials_[trial_].plan.ways; }
  uint64_t steps() const { return kFirstSteps << round_; }

  // The seconds of the steps that the plan ran; the first, in which memories move, does not
  // count. Of fewer than two the prediction counts, unless there are some of an earlier round.
  void Ran(std::span<const double> seconds);

  // The median of the winner's last steps; 0 when it was alone.
  double seconds() const;
  // A line for each plan.
  std::string Table() const;

 private:
  struct Trial {
    PredictedPlan plan;
    std::vector<double> seconds;  // of the steps in the last round that it was in
    bool out = false;
  };
  void EndRound();
  void Finish();

  std::vector<Trial> trials_;
  size_t trial_ = 0;  // the one under way, in the end the winner
  int round_ = 0;
  bool over_ = true;
  std::vector<Way> in_use_;
};

// "split", or of a mixture how many buckets go each way.
std::string NameOf(const std::vector<Way>& ways);

}  // namespace cddp
