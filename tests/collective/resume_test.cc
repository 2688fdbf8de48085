// Training that goes on: saved states loaded into new collectives give the same bytes,
// and what a group kept is not lost when its size changes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "collective/memory_mean.h"
#include "tests/collective/kept.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr uint64_t kSteps = 12;

struct Saved {
  CompressorState own;
  MemoryState owner;
};

struct Case {
  const char* name;
  CompressorOptions options;
  Way way = Way::kGather;
  bool planned = false;
};

std::vector<OwnedBucket> Buckets() {
  return {OwnedBucket(0, {3, 40'000}), OwnedBucket(1, {2'000})};
}

// One bucket changes its way, one does not.
Plan PlanOf(int ranks) {
  return {.world_size = ranks,
          .first = Way::kSplit,
          .elements = {40'003, 2'000},
          .changes = {{3, {Way::kGather, Way::kSplit}}, {8, {Way::kSplit, Way::kSplit}}}};
}

std::unique_ptr<Collective> MakeCase(const Case& made, Transport* transport) {
  std::unique_ptr<Collective> collective;
  const Plan plan = PlanOf(transport->world_size());
  Status status;
  if (made.planned) {
    status =
        MakeAutoCollective(transport, {.compression = made.options, .frozen = &plan}, &collective);
  } else if (made.way == Way::kSplit) {
    status = MakeSplitCollective(transport, made.options, 1.0, &collective);
  } else {
    std::unique_ptr<Compressor> compressor;
    status = Compressor::Create(made.options, &compressor);
    collective = MakeGatherCollective(transport, std::move(compressor));
  }
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

Saved Save(Collective& collective) {
  Saved saved;
  EXPECT_TRUE(collective.compressor()->Save(&saved.own).ok());
  if (collective.owner_memory()) saved.owner = collective.owner_memory()->Save();
  return saved;
}

void Load(const Saved& saved, Collective* collective) {
  ASSERT_TRUE(collective->compressor()->Load(saved.own).ok());
  if (collective->owner_memory()) {
    ASSERT_TRUE(collective->owner_memory()->Load(saved.owner).ok());
  }
}

// The means of steps [first, last), by which all that was drawn and chosen shows.
std::vector<float> TrainSteps(Transport& transport, Collective& collective, uint64_t first,
                              uint64_t last) {
  std::vector<float> means;
  std::vector<OwnedBucket> buckets = Buckets();
  for (uint64_t step = first; step < last; ++step) {
    for (OwnedBucket& bucket : buckets) {
      FillGradient(transport.rank(), step, &bucket);
      // Void on all ranks: randomk has drawn nevertheless, and adaptive ratios get no energies.
      if ((step == 2 || step == 7) && bucket.index == 1 && transport.rank() == 0)
        bucket.values[5] = NAN;
      const Status status = collective.AllReduceMean(bucket.At(step));
      EXPECT_TRUE(status.ok()) << status.message();
      means.insert(means.end(), bucket.values.begin(), bucket.values.end());
    }
    collective.EndStep();
  }
  return means;
}

TEST(Resume, GoesOnToTheBit) {
  const CompressorOptions residual{.ratio = 0.02};
  const CompressorOptions dgc{.ratio = 0.02,
                              .memory = {.name = "dgc", .momentum = 0.9},
                              .format = {.values = ValueFormat::kInt4, .stochastic = true}};
  const CompressorOptions random{.ratio = 0.02, .selector = {.name = "randomk", .seed = 7}};
  CompressorOptions adaptive = residual;
  adaptive.adaptive_every = 4;
  for (const Case& made :
       {Case{"gather, residual", residual}, Case{"gather, randomk", random},
        Case{"gather, adaptive", adaptive}, Case{"split, residual", residual, Way::kSplit},
        Case{"split, dgc", dgc, Way::kSplit}, Case{"split, adaptive", adaptive, Way::kSplit},
        Case{"plan, residual", residual, Way::kSplit, true},
        Case{"plan, dgc", dgc, Way::kSplit, true}}) {
    SCOPED_TRACE(made.name);
    RunRanks(3, [&](Transport& transport) {
      const auto whole = MakeCase(made, &transport);
      std::vector<Saved> saved;
      std::vector<std::vector<float>> means;
      for (uint64_t step = 0; step < kSteps; ++step) {
        saved.push_back(Save(*whole));
        means.push_back(TrainSteps(transport, *whole, step, step + 1));
      }
      for (uint64_t first = 1; first < kSteps; ++first) {
        const auto resumed = MakeCase(made, &transport);
        Load(saved[first], resumed.get());
        for (uint64_t step = first; step < kSteps; ++step) {
          ASSERT_TRUE(SameBits(TrainSteps(transport, *resumed, step, step + 1), means[step]))
              << "from step " << first << ", in step " << step;
        }
        EXPECT_TRUE(Save(*resumed).own.memory == Save(*whole).own.memory);
      }
    });
  }
}

double Total(const MemoryState& state, bool magnitudes = false) {
  double total = 0;
  for (const auto& [name, values] : state) {
    for (float value : values) total += magnitudes ? std::abs(value) : value;
  }
  return total;
}

// A run that goes on with another plan: what owners kept of its buckets is their ranks' again.
TEST(Resume, OwnersKeepNothingOfBucketsThatAreSplitNoMore) {
  constexpr int kRanks = 3;
  const Case split{"split, residual", {.ratio = 0.02}, Way::kSplit};
  const Plan plan{.world_size = kRanks, .first = Way::kGather, .elements = {40'003, 2'000}};
  RunRanks(kRanks, [&](Transport& transport) {
    const auto before = MakeCase(split, &transport);
    TrainSteps(transport, *before, 3, 7);
    const Saved saved = Save(*before);
    std::array<std::array<float, 3>, 2> all;  // what ranks keep, what was owned, its magnitude
    for (const bool with_owned : {false, true}) {
      std::unique_ptr<Collective> resumed;
      ASSERT_TRUE(
          MakeAutoCollective(&transport, {.compression = split.options, .frozen = &plan}, &resumed)
              .ok());
      Load({saved.own, with_owned ? saved.owner : MemoryState()}, resumed.get());
      TrainSteps(transport, *resumed, 8, 9);
      const Saved after = Save(*resumed);
      EXPECT_EQ(Total(after.owner, true), 0);
      auto& sums = all[with_owned ? 1 : 0];
      sums = {static_cast<float>(Total(after.own.memory)), static_cast<float>(Total(saved.owner)),
              static_cast<float>(Total(saved.owner, true))};
      ASSERT_TRUE(transport.AllReduceSum(sums).ok());
    }
    const float magnitude = all[0][2];
    EXPECT_GT(magnitude, 0);
    EXPECT_GT(std::abs(all[0][1]), 1e-4f * magnitude);
    EXPECT_NEAR(all[1][0] - all[0][0], all[0][1], 1e-5f * magnitude);
  });
}

TEST(Resume, CompressorRefusesABudgetOutOfRange) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(Compressor::Create({}, &compressor).ok());
  const auto refused = [&](const ParameterBudget& budget) {
    return compressor->Load({.budgets = {{"p", budget}}, .memory_name = "residual"}).message();
  };
  EXPECT_NE(refused({.elements = 10, .entries = 11}).find("11 of 10 entries"), std::string::npos);
  EXPECT_NE(refused({.elements = 0}).find("0 of 0 entries"), std::string::npos);
  EXPECT_NE(refused({.elements = 10, .energy = -1}).find("energy -1"), std::string::npos);
  EXPECT_NE(refused({.elements = 10, .energy = NAN}).find("energy nan"), std::string::npos);
  EXPECT_EQ(compressor->Load({.ratio = 0}).code(), StatusCode::kInvalidArgument);
  CompressorState state;
  ASSERT_TRUE(compressor->Save(&state).ok());
  EXPECT_TRUE(state.budgets.empty());
}

// Each has a residual of every parameter, under other names.
TEST(Resume, CompressorRefusesAnotherKindOfMemory) {
  std::unique_ptr<Compressor> residual;
  ASSERT_TRUE(Compressor::Create({}, &residual).ok());
  const Status status =
      residual->Load({.memory_name = "dgc", .memory = {{"p/residual", {1}}, {"p/velocity", {2}}}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("\"dgc\""), std::string::npos);
  EXPECT_TRUE(residual->memory().Save().empty());
}

// Of a run that goes on without --adaptive-ratio.
TEST(Resume, BudgetsEndWithAdaptiveRatios) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(Compressor::Create({.ratio = 0.01}, &compressor).ok());
  ASSERT_TRUE(compressor
                  ->Load({.ratio = 0.01,
                          .budgets = {{"p", {.elements = 10'000, .entries = 7}}},
                          .memory_name = "residual"})
                  .ok());
  EXPECT_EQ(compressor->EntryCount({.name = "p", .offset = 0, .count = 10'000}), 100u);
}

// A plan that was not settled goes on being made: first as it was, then anew.
TEST(Resume, PlanThatWasBegunGoesOn) {
  constexpr int kRanks = 2;
  RunRanks(kRanks, [&](Transport& transport) {
    const Plan begun{.world_size = kRanks,
                     .first = Way::kDense,
                     .elements = {40'003, 2'000},
                     .changes = {{1, {Way::kSplit, Way::kGather}}}};
    std::unique_ptr<Collective> collective;
    ASSERT_TRUE(MakeAutoCollective(&transport, {.compression = {.ratio = 0.02}, .begun = &begun},
                                   &collective)
                    .ok());
    EXPECT_FALSE(collective->settled());
    TrainSteps(transport, *collective, 4, 5);
    EXPECT_EQ(collective->plan()->changes.size(), 1u);
    EXPECT_FALSE(collective->owner_memory()->Save().empty()) << "a bucket went by split";
    uint64_t step = 5;
    constexpr uint64_t kLast = 165;  // four plans in three rounds
    while (step < kLast && !collective->settled()) {
      TrainSteps(transport, *collective, step, step + 1);
      ++step;
    }
    EXPECT_TRUE(collective->settled());
    EXPECT_EQ(collective->plan()->changes[0].step, 1u);
    ASSERT_GE(collective->plan()->changes.size(), 2u);
    EXPECT_EQ(collective->plan()->changes[1].step, 5u);

    const Plan other{.world_size = kRanks,
                     .elements = {40'003, 77},
                     .changes = {{1, {Way::kSplit, Way::kGather}}}};
    ASSERT_TRUE(MakeAutoCollective(&transport, {.begun = &other}, &collective).ok());
    std::vector<OwnedBucket> buckets = Buckets();
    ASSERT_TRUE(collective->AllReduceMean(buckets[0].At(4)).ok());
    const Status status = collective->AllReduceMean(buckets[1].At(4));
    EXPECT_NE(status.message().find("77 elements in bucket 1, not 2000"), std::string::npos)
        << status.message();
  });
}

std::map<std::string, uint32_t> ParametersOf(const std::vector<OwnedBucket>& buckets) {
  std::map<std::string, uint32_t> parameters;
  for (const OwnedBucket& bucket : buckets) {
    for (const BucketParameter& p : bucket.parameters) parameters[p.name] = p.count;
  }
  return parameters;
}

struct Kept {
  double residual = 0;
  double velocity = 0;
  double scale = 0;
};

// Of each element, the mean over the ranks of all that is kept for it.
std::map<std::string, std::vector<Kept>> MeanKept(const std::vector<Saved>& ranks) {
  std::map<std::string, std::vector<Kept>> means;
  const double share = 1.0 / static_cast<double>(ranks.size());
  for (size_t r = 0; r < ranks.size(); ++r) {
    for (OwnedBucket& bucket : Buckets()) {
      const std::vector<float> owned = OwnedInPlace(
          ranks[r].owner, bucket.At(0), static_cast<int>(ranks.size()), static_cast<int>(r));
      for (const BucketParameter& parameter : bucket.parameters) {
        std::vector<Kept>& kept = means[parameter.name];
        kept.resize(parameter.count);
        const auto add = [&](const std::string& key, double Kept::*part) {
          const auto it = ranks[r].own.memory.find(key);
          if (it == ranks[r].own.memory.end()) return;
          for (size_t i = 0; i < kept.size(); ++i) {
            kept[i].*part += share * it->second[i];
            kept[i].scale += std::abs(it->second[i]);
          }
        };
        add(parameter.name, &Kept::residual);
        add(parameter.name + "/residual", &Kept::residual);
        add(parameter.name + "/velocity", &Kept::velocity);
        for (size_t i = 0; i < kept.size(); ++i) {
          kept[i].residual += share * owned[parameter.offset + i];
          kept[i].scale += std::abs(owned[parameter.offset + i]);
        }
      }
    }
  }
  return means;
}

std::vector<Saved> StatesAfter(const Case& made, int ranks, uint64_t steps) {
  std::vector<Saved> saved(static_cast<size_t>(ranks));
  RunRanks(ranks, [&](Transport& transport) {
    const auto collective = MakeCase(made, &transport);
    TrainSteps(transport, *collective, 3, 3 + steps);
    saved[static_cast<size_t>(transport.rank())] = Save(*collective);
  });
  return saved;
}

TEST(Resume, AnotherWorldSizeKeepsWhatIsOwed) {
  const CompressorOptions residual{.ratio = 0.02};
  const CompressorOptions dgc{.ratio = 0.02, .memory = {.name = "dgc", .momentum = 0.9}};
  for (const Case& made :
       {Case{"gather, residual", residual}, Case{"gather, dgc", dgc},
        Case{"split, residual", residual, Way::kSplit}, Case{"split, dgc", dgc, Way::kSplit}}) {
    std::vector<Saved> before;
    for (const auto& [from, to] : {std::pair(1, 3), {3, 8}, {4, 2}, {2, 3}, {3, 4}}) {
      SCOPED_TRACE(fmt::format("{}, {} to {} ranks", made.name, from, to));
      // Each from where the change before has led, if it ended with as many ranks.
      if (before.size() != static_cast<size_t>(from)) before = StatesAfter(made, from, 6);
      MemoryMean mean(from, made.options.memory.name, ParametersOf(Buckets()));
      for (const Saved& rank : before) {
        ASSERT_TRUE(mean.Add(rank.own.memory, rank.owner).ok());
      }
      // What the new ranks really hold when they have loaded it.
      std::vector<Saved> after(static_cast<size_t>(to)), later(after);
      RunRanks(to, [&](Transport& transport) {
        const auto collective = MakeCase(made, &transport);
        ASSERT_TRUE(collective->compressor()->memory().Load(mean.Mean()).ok());
        after[static_cast<size_t>(transport.rank())] = Save(*collective);
        TrainSteps(transport, *collective, 9, 11);
        later[static_cast<size_t>(transport.rank())] = Save(*collective);
      });
      double largest = 0;
      const auto owed = MeanKept(before);
      const auto kept = MeanKept(after);
      for (const auto& [name, elements] : owed) {
        for (size_t i = 0; i < elements.size(); ++i) {
          const double rounding = 0x1p-22 * elements[i].scale;
          ASSERT_NEAR(kept.at(name)[i].residual, elements[i].residual, rounding) << name << i;
          ASSERT_NEAR(kept.at(name)[i].velocity, elements[i].velocity, rounding) << name << i;
          largest = std::max(largest, std::abs(elements[i].residual));
        }
      }
      EXPECT_GT(largest, 0);
      before = later;
    }
  }
}

TEST(Resume, MeanRefusesAnotherModelsMemory) {
  MemoryMean mean(2, "residual", {{"p", 3}});
  EXPECT_NE(mean.Add({{"q", {1}}}, {}).message().find("no such parameter"), std::string::npos);
  EXPECT_NE(mean.Add({{"p", {1}}}, {}).message().find("p with 1 elements, the model has 3"),
            std::string::npos);
  EXPECT_NE(mean.Add({}, {{"p", {1, 2}}}).message().find("saved 2 elements of p"),
            std::string::npos);
  EXPECT_TRUE(mean.Add({}, {}).ok());
}

}  // namespace
}  // namespace cddp
