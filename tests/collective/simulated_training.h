// What ranks do on a simulated network, and what they show for it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cddp/collective.h"
#include "tests/collective/rank_group.h"

namespace cddp {

inline constexpr uint64_t kTrainingSteps = 3;
inline constexpr double kMomentum = 0.9;
inline constexpr const char* kCollectives[] = {"dense", "gather", "split", "split all"};
inline constexpr const char* kMemories[] = {"residual", "dgc"};

// What the ranks do, whatever the network does.
struct Task {
  size_t collective = 0;
  size_t memory = 0;
  int ranks = 2;
  auto operator<=>(const Task&) const = default;
};

// What a rank has to show. States are those between steps, the first before step 0.
struct Outcome {
  Status status;
  std::vector<std::vector<float>> buckets;  // synchronised
  std::vector<MemoryState> memory;
  std::vector<MemoryState> owned;
};

inline std::vector<OwnedBucket> Gradients(int rank, uint64_t step) {
  std::vector<OwnedBucket> buckets = {OwnedBucket(0, {3, 150, 70}), OwnedBucket(1, {200})};
  for (OwnedBucket& bucket : buckets) FillGradient(rank, step, &bucket);
  return buckets;
}

inline std::unique_ptr<Collective> MakeCollective(const Task& task, Transport* transport) {
  if (task.collective == 0) return MakeDenseCollective(transport);
  const CompressorOptions options{.ratio = 0.1,
                                  .whole_limit = 4,
                                  .memory = {.name = kMemories[task.memory]},
                                  .format = {.values = ValueFormat::kInt4},
                                  .adaptive_every = 2};
  std::unique_ptr<Collective> collective;
  Status status;
  if (task.collective == 1) {
    std::unique_ptr<Compressor> compressor;
    status = Compressor::Create(options, &compressor);
    collective = MakeGatherCollective(transport, std::move(compressor));
  } else {
    const double budget = task.collective == 2 ? 1 : std::numeric_limits<double>::infinity();
    status = MakeSplitCollective(transport, options, budget, &collective);
  }
  EXPECT_TRUE(status.ok()) << status.message();
  return collective;
}

// Trains one rank until the end or an error.
inline Outcome Train(const Task& task, Transport& transport) {
  const auto collective = MakeCollective(task, &transport);
  Outcome outcome;
  const auto keep_state = [&] {
    const bool keeps = collective->compressor() != nullptr;
    outcome.memory.push_back(keeps ? collective->compressor()->memory().Save() : MemoryState());
    const bool owns = collective->owner_memory() != nullptr;
    outcome.owned.push_back(owns ? collective->owner_memory()->Save() : MemoryState());
  };
  keep_state();
  for (uint64_t step = 0; step < kTrainingSteps; ++step) {
    for (OwnedBucket& bucket : Gradients(transport.rank(), step)) {
      outcome.status = collective->AllReduceMean(bucket.At(step));
      if (!outcome.status.ok()) return outcome;
      outcome.buckets.push_back(std::move(bucket.values));
    }
    EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
    keep_state();
  }
  return outcome;
}

inline double SumOf(const MemoryState& state, const std::string& name) {
  const auto it = state.find(name);
  double sum = 0;
  if (it != state.end()) {
    for (float value : it->second) sum += value;
  }
  return sum;
}

// Of each parameter: P times the updates and what all memories keep make up what came in,
// which is the gradients or, with dgc, the velocities.
inline void ExpectConserved(const Task& task, const std::vector<Outcome>& ranks) {
  const bool dgc = task.collective != 0 && task.memory == 1;
  const std::vector<OwnedBucket> layout = Gradients(0, 0);
  for (size_t b = 0; b < layout.size(); ++b) {
    for (const BucketParameter& parameter : layout[b].parameters) {
      double in = 0, scale = 0, out = 0;
      for (size_t r = 0; r < ranks.size(); ++r) {
        for (uint64_t step = 0; step < kTrainingSteps; ++step) {
          const OwnedBucket bucket = Gradients(static_cast<int>(r), step)[b];
          const std::vector<float>& update = ranks[r].buckets[step * layout.size() + b];
          for (uint32_t i = parameter.offset; i < parameter.offset + parameter.count; ++i) {
            in += bucket.values[i];
            scale += std::abs(bucket.values[i]);
            out += update[i];
          }
          if (dgc) {
            in += kMomentum * SumOf(ranks[r].memory[step], parameter.name + "/velocity");
          }
        }
        out += SumOf(ranks[r].memory.back(), parameter.name + (dgc ? "/residual" : ""));
        out += SumOf(ranks[r].owned.back(), parameter.name);
      }
      EXPECT_NEAR(out, in, 1e-6 * scale) << parameter.name;
    }
  }
}

// The same over a network that disturbs nothing.
inline const std::vector<Outcome>& Undisturbed(const Task& task) {
  static std::map<Task, std::vector<Outcome>> known;
  auto [it, is_new] = known.try_emplace(task, static_cast<size_t>(task.ranks));
  std::vector<Outcome>& outcomes = it->second;
  if (is_new) {
    RunRanks(task.ranks, [&](Transport& transport) {
      outcomes[static_cast<size_t>(transport.rank())] = Train(task, transport);
    });
    for (const Outcome& outcome : outcomes) {
      EXPECT_TRUE(outcome.status.ok()) << outcome.status.message();
      for (size_t b = 0; b < outcome.buckets.size(); ++b) {
        EXPECT_TRUE(SameBits(outcome.buckets[b], outcomes[0].buckets[b])) << "replicas differ";
      }
    }
    if (!::testing::Test::HasFailure()) ExpectConserved(task, outcomes);
  }
  return outcomes;
}

}  // namespace cddp
