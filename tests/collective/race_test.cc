// Which plan wins by the steps that it is said to have run.
#include "collective/race.h"

#include <gtest/gtest.h>

#include <map>

namespace cddp {
namespace {

const std::vector<Way> kDense{Way::kDense};
const std::vector<Way> kGather{Way::kGather};
const std::vector<Way> kSplit{Way::kSplit};

// Runs the race with steps of these seconds, of which the first of each plan's turn is ten
// times as long. Returns how many steps each plan ran.
std::map<std::vector<Way>, uint64_t> RunOut(const std::map<std::vector<Way>, double>& seconds,
                                            Race* race) {
  std::map<std::vector<Way>, uint64_t> steps;
  for (int turn = 0; !race->over() && turn < 100; ++turn) {
    std::vector<double> ran(race->steps(), seconds.at(race->ways()));
    ran.front() *= 10;
    steps[race->ways()] += ran.size();
    race->Ran(ran);
  }
  EXPECT_TRUE(race->over());
  return steps;
}

TEST(Race, ShortestStepsWinWhateverWasPredicted) {
  Race race({{kDense, 1.0}, {kGather, 2.0}, {kSplit, 3.0}}, {}, 0);
  EXPECT_EQ(race.ways(), kDense);
  EXPECT_EQ(race.steps(), Race::kFirstSteps);
  const auto steps = RunOut({{kDense, 3.0}, {kGather, 2.0}, {kSplit, 1.0}}, &race);
  EXPECT_EQ(race.ways(), kSplit);
  EXPECT_EQ(race.seconds(), 1.0);
  EXPECT_EQ(steps.at(kDense), Race::kFirstSteps) << "it is clearly slower";
}

TEST(Race, WhatIsNearIsTimedLonger) {
  Race race({{kDense, 1.0}, {kGather, 1.0}}, {}, 0);
  // Each has steps as short as the other's median.
  uint64_t turns = 0;
  for (; !race.over(); ++turns) {
    EXPECT_EQ(race.steps(), Race::kFirstSteps << turns / 2);
    std::vector<double> seconds(race.steps(), race.ways() == kDense ? 1.1 : 1.2);
    seconds.back() = 0.5;
    race.Ran(seconds);
  }
  EXPECT_EQ(turns, 2 * Race::kRounds);
  EXPECT_EQ(race.ways(), kDense);
}

TEST(Race, WhatIsPredictedToBeFarSlowerIsNotTried) {
  const Race race({{kGather, 1.0}, {kDense, 1.1 * Race::kWorthTrying}}, {}, 0);
  EXPECT_TRUE(race.over());
  EXPECT_EQ(race.ways(), kGather);
  EXPECT_EQ(race.seconds(), 0) << "nothing was timed";
}

TEST(Race, ThePlanInUseMustBeClearlyBeaten) {
  for (const double gain : {1.03, 1.07}) {
    Race race({{kGather, 1.0}, {kDense, 1.0}}, kDense, 1.0);
    // Their steps vary, so that both stay in the race.
    while (!race.over()) {
      std::vector<double> seconds(race.steps(), race.ways() == kDense ? gain : 1.0);
      seconds.back() = 0.9;
      race.Ran(seconds);
    }
    EXPECT_EQ(race.ways(), gain < Race::kWorthChanging ? kDense : kGather);
  }
}

// It need not be among those that the model names now, nor be predicted to be near.
TEST(Race, ThePlanInUseAlwaysTakesPart) {
  const std::vector<Way> mixture{Way::kDense, Way::kSplit};
  Race race({{{Way::kGather, Way::kGather}, 1.0}}, mixture, 9.0);
  RunOut({{mixture, 1.0}, {{Way::kGather, Way::kGather}, 2.0}}, &race);
  EXPECT_EQ(race.ways(), mixture);

  Race listed({{kGather, 1.0}, {kSplit, 100.0}}, kSplit, 9.0);
  RunOut({{kGather, 2.0}, {kSplit, 1.0}}, &listed);
  EXPECT_EQ(listed.ways(), kSplit);
}

TEST(Race, WithoutTimedStepsThePredictionCounts) {
  Race race({{kGather, 1.0}, {kDense, 2.0}}, {}, 0);
  while (!race.over()) race.Ran({});
  EXPECT_EQ(race.ways(), kGather);
}

TEST(Race, NamesOfPlans) {
  EXPECT_EQ(NameOf(kSplit), "split");
  EXPECT_EQ(NameOf({Way::kDense, Way::kSplit, Way::kSplit}), "1 dense, 2 split");
}

}  // namespace
}  // namespace cddp
