#include "collective/race.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/median.h"

namespace cddp {

std::string NameOf(const std::vector<Way>& ways) {
  std::string name;
  for (size_t w = 0; w < kWays; ++w) {
    const auto way = static_cast<Way>(w);
    const auto count = std::ranges::count(ways, way);
    if (count == 0) continue;
    if (count == static_cast<ptrdiff_t>(ways.size())) return std::string(WayName(way));
    name += fmt::format("{}{} {}", name.empty() ? "" : ", ", count, WayName(way));
  }
  return name;
}

Race::Race(const std::vector<PredictedPlan>& plans, const std::vector<Way>& in_use, double seconds)
    : in_use_(in_use) {
  bool listed = false;
  for (const PredictedPlan& plan : plans) {
    const bool is_in_use = plan.ways == in_use;
    listed |= is_in_use;
    if (!is_in_use && plan.seconds > kWorthTrying * plans.front().seconds) continue;
    trials_.push_back({.plan = plan, .seconds = {}});
  }
  if (!in_use.empty() && !listed) {
    trials_.push_back({.plan = {.ways = in_use, .seconds = seconds}, .seconds = {}});
  }
  over_ = trials_.size() == 1;
}

void Race::Ran(std::span<const double> seconds) {
  Trial& trial = trials_[trial_];
  if (seconds.size() > 1) {
    trial.seconds.assign(seconds.begin() + 1, seconds.end());
  } else if (trial.seconds.empty()) {
    trial.seconds = {trial.plan.seconds};
  }
  do {
    ++trial_;
  } while (trial_ < trials_.size() && trials_[trial_].out);
  if (trial_ == trials_.size()) EndRound();
}

void Race::EndRound() {
  double best = std::numeric_limits<double>::infinity();
  for (const Trial& trial : trials_) {
    if (!trial.out) best = std::min(best, MedianOf(trial.seconds));
  }
  for (Trial& trial : trials_) trial.out |= *std::ranges::min_element(trial.seconds) > best;
  const auto in_race = std::ranges::count(trials_, false, &Trial::out);
  trial_ = static_cast<size_t>(std::ranges::find(trials_, false, &Trial::out) - trials_.begin());
  if (++round_ == kRounds || in_race == 1) Finish();
}

void Race::Finish() {
  over_ = true;
  double in_use = 0;
  for (size_t t = 0; t < trials_.size(); ++t) {
    if (trials_[t].out) continue;
    const double seconds = MedianOf(trials_[t].seconds);
    if (seconds < MedianOf(trials_[trial_].seconds)) trial_ = t;
    if (trials_[t].plan.ways == in_use_) in_use = seconds;
  }
  if (in_use == 0 || kWorthChanging * MedianOf(trials_[trial_].seconds) <= in_use) return;
  trial_ = static_cast<size_t>(
      std::ranges::find(trials_, in_use_, [](const Trial& trial) { return trial.plan.ways; }) -
      trials_.begin());
}

double Race::seconds() const {
  const std::vector<double>& seconds = trials_[trial_].seconds;
  return seconds.empty() ? 0 : MedianOf(seconds);
}

std::string Race::Table() const {
  std::string table;
  for (const Trial& trial : trials_) {
    table += fmt::format("\n  {:<24} {:10.2f} ms", NameOf(trial.plan.ways),
                         1e3 * MedianOf(trial.seconds));
  }
  return table;
}

}  // namespace cddp
