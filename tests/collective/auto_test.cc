// Plans: what is kept moves with a bucket from one way to another, all ranks follow the
// same plan, and a plan that does not fit is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <thread>

#include "collective/shards.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr uint32_t kElements = 70'000;  // several owners' blocks

std::unique_ptr<Collective> AutoOver(Transport* transport, const CompressorOptions& options,
                                     const Plan* frozen = nullptr) {
  std::unique_ptr<Collective> collective;
  const Status status =
      MakeAutoCollective(transport, {.compression = options, .frozen = frozen}, &collective);
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

// Another way in every step or two.
Plan ChangingPlan(int ranks) {
  Plan plan{.world_size = ranks, .first = Way::kSplit, .elements = {kElements}};
  uint64_t step = 2;
  for (Way way : {Way::kGather, Way::kSplit, Way::kDense, Way::kSplit, Way::kGather, Way::kDense,
                  Way::kGather, Way::kSplit, Way::kDense}) {
    plan.changes.push_back({step, {way}});
    step += 2;
  }
  return plan;
}

struct Sums {
  explicit Sums(size_t n) : gradients(n), updates(n), kept(n), scale(n) {}
  std::vector<double> gradients, updates, kept, scale;
};

// What a rank's collective keeps of the one parameter, its owner's part included.
std::vector<double> KeptBy(Collective& collective, const OwnedBucket& bucket, int rank, int ranks) {
  std::vector<double> kept(kElements);
  const std::string& name = bucket.parameters[0].name;
  const MemoryState own = collective.compressor()->memory().Save();
  if (const auto it = own.find(name); it != own.end()) {
    for (size_t i = 0; i < kElements; ++i) kept[i] += it->second[i];
  }
  const MemoryState owned = collective.owner_memory()->Save();
  if (const auto it = owned.find(name); it != owned.end()) {
    std::vector<uint32_t> indices(it->second.size());
    std::iota(indices.begin(), indices.end(), 0u);
    Shards({.parameters = bucket.parameters}, ranks).ToBucket(rank, indices);
    for (size_t i = 0; i < indices.size(); ++i) kept[indices[i]] += it->second[i];
  }
  return kept;
}

// P times the updates and all that is kept make up the gradients, whatever ways they went.
Sums TrainOnPlan(int ranks, uint64_t steps, ValueFormat values) {
  Sums sums(kElements);
  std::mutex mutex;
  const Plan plan = ChangingPlan(ranks);
  RunRanks(ranks, [&](Transport& transport) {
    const auto collective =
        AutoOver(&transport, {.ratio = 0.02, .format = {.values = values}}, &plan);
    OwnedBucket bucket(0, {kElements});
    Sums mine(kElements);
    for (uint64_t step = 0; step < steps; ++step) {
      FillGradient(transport.rank(), step, &bucket);
      for (size_t i = 0; i < kElements; ++i) {
        mine.gradients[i] += bucket.values[i];
        mine.scale[i] += std::abs(bucket.values[i]);
      }
      const Status status = collective->AllReduceMean(bucket.At(step));
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      for (size_t i = 0; i < kElements; ++i) mine.updates[i] += bucket.values[i];
    }
    mine.kept = KeptBy(*collective, bucket, transport.rank(), ranks);
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < kElements; ++i) {
      sums.gradients[i] += mine.gradients[i];
      sums.scale[i] += mine.scale[i];
      sums.kept[i] += mine.kept[i];
      if (transport.rank() == 0) sums.updates[i] = mine.updates[i];
    }
  });
  return sums;
}

TEST(Auto, NothingIsLostWhenWaysChange) {
  const auto numbers_of_steps =
      kInstrumented ? std::vector<uint64_t>{4, 13} : std::vector<uint64_t>{3, 4, 5, 7, 13, 20};
  for (int ranks : {1, 2, 3, 5}) {
    for (ValueFormat values : {ValueFormat::kFp32, ValueFormat::kInt4}) {
      for (uint64_t steps : numbers_of_steps) {
        const Sums sums = TrainOnPlan(ranks, steps, values);
        for (size_t i = 0; i < kElements; ++i) {
          ASSERT_NEAR(ranks * sums.updates[i] + sums.kept[i], sums.gradients[i],
                      static_cast<double>(steps) * 0x1p-21 * sums.scale[i])
              << "element " << i << ", " << ranks << " ranks, " << steps << " steps";
        }
      }
    }
  }
}

// The last way of the plan is dense: then nothing stays behind.
TEST(Auto, DenseStepDrainsAllMemories) {
  const Sums before = TrainOnPlan(3, 18, ValueFormat::kInt4);  // its last step is split
  const Sums after = TrainOnPlan(3, 19, ValueFormat::kInt4);
  EXPECT_GT(*std::ranges::max_element(before.kept), 0);
  for (const double kept : after.kept) ASSERT_EQ(kept, 0);
}

// With dgc, dense steps are momentum SGD: the mean of the ranks' velocities.
TEST(Auto, DgcForcedDenseIsMomentum) {
  const Plan plan{.world_size = 2, .first = Way::kDense};
  RunRanks(2, [&](Transport& transport) {
    const auto collective =
        AutoOver(&transport, {.ratio = 0.02, .memory = {.name = "dgc", .momentum = 0.9}}, &plan);
    OwnedBucket bucket(0, {kElements});
    OwnedBucket other(0, {kElements});
    std::vector<double> velocity(kElements);
    for (uint64_t step = 0; step < 10; ++step) {
      FillGradient(transport.rank(), step, &bucket);
      FillGradient(1 - transport.rank(), step, &other);
      for (size_t i = 0; i < kElements; ++i) {
        velocity[i] = 0.9 * velocity[i] + (double{bucket.values[i]} + other.values[i]) / 2;
      }
      ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
      ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      for (size_t i = 0; i < kElements; ++i) {
        ASSERT_NEAR(bucket.values[i], velocity[i], 1e-5 * (1 + std::abs(velocity[i])));
      }
    }
  });
}

TEST(Auto, VoidDenseStepLeavesNoTrace) {
  for (const char* memory : {"residual", "dgc"}) {
    // Dense while there is something to drain.
    const Plan plan{.world_size = 2,
                    .first = Way::kGather,
                    .elements = {kElements},
                    .changes = {{3, {Way::kDense}}}};
    RunRanks(2, [&](Transport& transport) {
      const auto collective =
          AutoOver(&transport, {.ratio = 0.02, .memory = {.name = memory}}, &plan);
      OwnedBucket bucket(0, {kElements});
      for (uint64_t step = 0; step < 5; ++step) {
        const MemoryState before = collective->compressor()->memory().Save();
        FillGradient(transport.rank(), step, &bucket);
        const bool bad = step == 3;
        if (bad && transport.rank() == 1) bucket.values[7] = std::nanf("");
        ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
        EXPECT_EQ(collective->EndStep(), bad ? StepOutcome::kVoid : StepOutcome::kCommitted);
        if (!bad) continue;
        EXPECT_EQ(collective->compressor()->memory().Save(), before);
        EXPECT_FALSE(before.empty());
      }
    });
  }
}

// Measured, tried, settled: with the same plan on every rank, which repeats to the byte.
TEST(Auto, RanksAgreeAndThePlanRepeats) {
  constexpr int kRanks = 3;
  constexpr uint64_t kSteps = 160;  // four plans in three rounds, and some more
  std::vector<Plan> plans(kRanks);
  std::vector<std::vector<float>> updates(kRanks), repeated(kRanks);
  const auto train = [&](Transport& transport, const Plan* frozen, std::vector<float>* seen) {
    const auto collective = AutoOver(&transport, {.ratio = 0.02}, frozen);
    std::vector<OwnedBucket> buckets{OwnedBucket(0, {3, 61'000, 4}), OwnedBucket(1, {5'000})};
    bool settled = false;  // once; on a busy machine steps may drift, and plans be tried again
    for (uint64_t step = 0; step < kSteps; ++step) {
      for (OwnedBucket& bucket : buckets) {
        FillGradient(transport.rank(), step, &bucket);
        const Status status = collective->AllReduceMean(bucket.At(step));
        ASSERT_TRUE(status.ok()) << status.message();
        seen->insert(seen->end(), bucket.values.begin(), bucket.values.end());
      }
      ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      settled |= collective->settled();
    }
    EXPECT_TRUE(settled);
    EXPECT_EQ(collective->name(), "auto");
    plans[static_cast<size_t>(transport.rank())] = *collective->plan();
  };
  RunRanks(kRanks, [&](Transport& transport) {
    train(transport, nullptr, &updates[static_cast<size_t>(transport.rank())]);
  });
  for (const Plan& plan : plans) {
    EXPECT_EQ(plan.world_size, kRanks);
    EXPECT_EQ(plan.elements, (std::vector<uint32_t>{61'007, 5'000}));
    ASSERT_FALSE(plan.changes.empty());
    ASSERT_EQ(plan.changes.size(), plans[0].changes.size());
    for (size_t i = 0; i < plan.changes.size(); ++i) {
      EXPECT_EQ(plan.changes[i].step, plans[0].changes[i].step);
      EXPECT_EQ(plan.changes[i].ways, plans[0].changes[i].ways);
    }
  }
  const Plan plan = plans[0];
  RunRanks(kRanks, [&](Transport& transport) {
    train(transport, &plan, &repeated[static_cast<size_t>(transport.rank())]);
  });
  for (int r = 0; r < kRanks; ++r) {
    EXPECT_TRUE(SameBits(updates[static_cast<size_t>(r)], updates[0]));
    EXPECT_TRUE(SameBits(repeated[static_cast<size_t>(r)], updates[0]));
  }
}

// A network on which one kind of call is slow at first and the other one later.
class ChangingTransport final : public Transport {
 public:
  explicit ChangingTransport(Transport* inner) : inner_(inner) {}
  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }
  Status AllReduceSum(std::span<float> values) override {
    if (changed && values.size() > kSmall) std::this_thread::sleep_for(kLong);
    return inner_->AllReduceSum(values);
  }
  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    const bool large = std::ranges::any_of(outgoing, [](auto m) { return m.size() > kSmall; });
    if (!changed && large) std::this_thread::sleep_for(kLong);
    return inner_->Exchange(outgoing, incoming);
  }
  bool changed = false;

 private:
  static constexpr size_t kSmall = 100;
  static constexpr std::chrono::milliseconds kLong{30};  // beyond a step on busy cores
  Transport* inner_;
};

// Where the network changes, all ranks probe anew and change their plan.
TEST(Auto, FollowsANetworkThatChanges) {
  constexpr uint64_t kChange = 130;  // after a first check
  std::vector<Plan> plans(2);
  RunRanks(2, [&](Transport& transport) {
    ChangingTransport changing(&transport);
    const auto collective = AutoOver(&changing, {.ratio = 0.02});
    OwnedBucket bucket(0, {7'000});  // whose work takes no time beside the network
    for (uint64_t step = 0; step < 800; ++step) {
      changing.changed = step >= kChange;
      FillGradient(transport.rank(), step, &bucket);
      const Status status = collective->AllReduceMean(bucket.At(step));
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      if (step + 1 == kChange) {
        ASSERT_EQ(collective->plan()->changes.back().ways, std::vector{Way::kDense});
      }
      if (step > kChange && collective->settled() &&
          collective->plan()->changes.back().ways != std::vector{Way::kDense}) {
        break;  // all ranks, for they have one plan
      }
    }
    plans[static_cast<size_t>(transport.rank())] = *collective->plan();
  });
  ASSERT_FALSE(plans[0].changes.empty());
  EXPECT_NE(plans[0].changes.back().ways, std::vector{Way::kDense});
  EXPECT_GT(plans[0].changes.back().step, kChange);
  EXPECT_EQ(plans[1].changes.back().step, plans[0].changes.back().step);
  EXPECT_EQ(plans[1].changes.back().ways, plans[0].changes.back().ways);
}

// After a warm-up, say: with another ratio another plan may be the best.
TEST(Auto, AnotherRatioIsPlannedAnew) {
  std::vector<std::string> said;
  RunRanks(2, [&](Transport& transport) {
    std::unique_ptr<Collective> collective;
    ASSERT_TRUE(MakeAutoCollective(&transport,
                                   {.compression = {.ratio = 0.5},
                                    .log =
                                        [&](const std::string& lines) {
                                          if (lines.find("predicted") != std::string::npos) {
                                            said.push_back(lines);
                                          }
                                        }},
                                   &collective)
                    .ok());
    OwnedBucket bucket(0, {kElements});
    bool settled = false;
    for (uint64_t step = 0; step < 190; ++step) {
      if (step == 30) {
        ASSERT_TRUE(collective->compressor()->SetRatio(0.01).ok());
      }
      FillGradient(transport.rank(), step, &bucket);
      ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
      ASSERT_EQ(collective->EndStep(), StepOutcome::kCommitted);
      settled |= step > 30 && collective->settled();
    }
    EXPECT_TRUE(settled);
  });
  ASSERT_GE(said.size(), 2u) << "rank 0 predicts once for each ratio, and after a drift";
  EXPECT_NE(said[0].find(std::to_string(kElements / 2)), std::string::npos) << said[0];
  EXPECT_NE(said.back().find(std::to_string(kElements / 100)), std::string::npos) << said.back();
}

// A plan is by buckets: they must stay what they are.
TEST(Auto, BucketsThatChangeAreRefused) {
  RunRanks(1, [](Transport& transport) {
    OwnedBucket bucket(0, {100, 200});
    OwnedBucket regrouped(0, {200, 100});
    OwnedBucket another(1, {100});
    const auto in_second_step = [&](std::vector<OwnedBucket*> buckets) {
      const auto collective = AutoOver(&transport, {});
      EXPECT_TRUE(collective->AllReduceMean(bucket.At(0)).ok());
      collective->EndStep();
      Status status;
      for (OwnedBucket* next : buckets) {
        if (status.ok()) status = collective->AllReduceMean(next->At(1));
      }
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      return status.message();
    };
    EXPECT_NE(in_second_step({&regrouped}).find("bucket 0 has other parameters"),
              std::string::npos);
    EXPECT_NE(in_second_step({&bucket, &another}).find("bucket 1 was not in the step before"),
              std::string::npos);
  });
}

TEST(Auto, PlanThatDoesNotFitIsRefused) {
  RunRanks(1, [](Transport& transport) {
    std::unique_ptr<Collective> collective;
    const auto refusal = [&](const Plan& plan) {
      const Status status = MakeAutoCollective(&transport, {.frozen = &plan}, &collective);
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      return status.message();
    };
    EXPECT_NE(refusal({.world_size = 4}).find("4 workers"), std::string::npos);
    EXPECT_NE(refusal({.world_size = 1, .elements = {1, 2}, .changes = {{1, {Way::kDense}}}})
                  .find("2 buckets"),
              std::string::npos);
    EXPECT_NE(
        refusal(
            {.world_size = 1, .elements = {1}, .changes = {{5, {Way::kDense}}, {1, {Way::kSplit}}}})
            .find("order"),
        std::string::npos);

    EXPECT_NE(refusal({.world_size = 1, .changes = {{1, {}}}}).find("no bucket"),
              std::string::npos);

    const Plan other{.world_size = 1, .elements = {77}, .changes = {{1, {Way::kSplit}}}};
    const auto follows = AutoOver(&transport, {}, &other);
    OwnedBucket bucket(0, {kElements});
    ASSERT_TRUE(follows->AllReduceMean(bucket.At(0)).ok());
    follows->EndStep();
    const Status status = follows->AllReduceMean(bucket.At(1));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("other buckets"), std::string::npos) << status.message();
  });
}

}  // namespace
}  // namespace cddp
