// Budgets that follow the gradient's energy, planned alike on every rank.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "cddp/frame.h"
#include "tests/collective/rank_group.h"
#include "tests/collective/tampering_transport.h"

namespace cddp {
namespace {

constexpr uint32_t kEvery = 4;
constexpr uint64_t kAdaptiveSteps = 11;

std::unique_ptr<Collective> Adaptive(Transport* transport) {
  std::unique_ptr<Compressor> compressor;
  EXPECT_TRUE(
      Compressor::Create({.ratio = 0.1, .whole_limit = 4, .adaptive_every = kEvery}, &compressor)
          .ok());
  return MakeGatherCollective(transport, std::move(compressor));
}

// Two parameters of one size; the second has 100 times the energy, on rank 0 alone.
OwnedBucket GradientOf(int rank, uint64_t step) {
  OwnedBucket bucket(0, {500, 500, 3});
  FillGradient(rank, step, &bucket);
  for (size_t i = 500; i < 1'000; ++i) bucket.values[i] *= rank == 0 ? 10.0f : 0.0f;
  return bucket;
}

TEST(AdaptiveRatio, RanksPlanAlikeAndKeepTheTotal) {
  for (int world_size : {1, 2, 3, 4}) {
    std::vector<std::vector<float>> results(static_cast<size_t>(world_size));
    RunRanks(world_size, [&](Transport& transport) {
      const auto collective = Adaptive(&transport);
      auto& result = results[static_cast<size_t>(transport.rank())];
      for (uint64_t step = 0; step < kAdaptiveSteps; ++step) {
        OwnedBucket bucket = GradientOf(transport.rank(), step);
        // One rank's energy is not finite: that step must not be planned with, nor saved.
        const bool bad = step == 2 * kEvery - 1;
        if (bad && transport.rank() == 0) bucket.values[3] = std::nanf("");
        ASSERT_TRUE(collective->AllReduceMean(bucket.At(step)).ok());
        EXPECT_EQ(collective->EndStep() == StepOutcome::kVoid, bad);
        EXPECT_EQ(collective->compressor()->EntryCount(bucket.At(step)), 50u + 50 + 3);
        result.insert(result.end(), bucket.values.begin(), bucket.values.end());
        if (step < kEvery - 1 || transport.rank() != 0) continue;
        for (const double energy : collective->compressor()->Energies()) {
          EXPECT_EQ(energy > 0, step < 2 * kEvery - 1) << step;
        }
      }
      OwnedBucket first(0, {500}), second(0, {500});
      second.parameters[0].name = "bucket0.parameter1";
      EXPECT_GT(collective->compressor()->EntryCount(second.At(kAdaptiveSteps)),
                2 * collective->compressor()->EntryCount(first.At(kAdaptiveSteps)));
    });
    for (const auto& result : results) EXPECT_TRUE(SameBits(result, results[0])) << world_size;
  }
}

// Finite, but planning with it would not end.
TEST(AdaptiveRatio, AnEnergyThatNoGradientHasIsRefused) {
  for (const double energy : {1e306, -1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    RunRanks(2, [&](Transport& transport) {
      TamperingTransport tampered(&transport, [&](std::vector<std::byte>* message) {
        const bool is_frame = message->size() >= kFrameHeaderBytes;
        if (transport.rank() != 1 || is_frame) return;
        std::memcpy(message->data(), &energy, sizeof energy);
      });
      const auto collective = Adaptive(&tampered);
      Status status = Status::Ok();
      for (uint64_t step = 0; step < kAdaptiveSteps && status.ok(); ++step) {
        OwnedBucket bucket = GradientOf(transport.rank(), step);
        status = collective->AllReduceMean(bucket.At(step));
        collective->EndStep();
      }
      if (transport.rank() == 1) return;
      EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
      EXPECT_NE(status.message().find("gradient energy of rank 1"), std::string::npos)
          << status.message();
    });
  }
}

}  // namespace
}  // namespace cddp
