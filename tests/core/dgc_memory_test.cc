// Momentum correction, factor masking and clipping (Lin et al. 2018).
#include <gtest/gtest.h>

#include <cmath>

#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "cddp/memory.h"
#include "tests/add_entries.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

constexpr float kSgdMomentum = 0.9f;

// Everything is sent; the optimiser adds what arrives to the weights, without a
// momentum of its own. Beside it SGD as PyTorch computes it, in double precision.
double LargestDifferenceFromSgd(bool nesterov, double weight_decay) {
  constexpr size_t kElements = 3'000;
  constexpr double kLearningRate = 0.05;
  std::unique_ptr<Compressor> compressor;
  EXPECT_TRUE(
      Compressor::Create(
          {.ratio = 1.0, .memory = {.name = "dgc", .momentum = kSgdMomentum, .nesterov = nesterov}},
          &compressor)
          .ok());
  OwnedBucket bucket(0, {1'000, 2'000});
  const std::vector<float> curvature = ValuesOf({Pattern::kUniform, 1, kElements});
  std::vector<float> weights = ValuesOf({Pattern::kUniform, 2, kElements});
  std::vector<double> expected(weights.begin(), weights.end()), buffer(kElements);
  const auto gradient = [&](size_t i, double w) {
    return std::abs(static_cast<double>(curvature[i])) * (w - 0.3) + weight_decay * w;
  };
  double largest = 0;
  for (uint64_t step = 0; step < 100; ++step) {
    for (size_t i = 0; i < kElements; ++i) {
      bucket.values[i] = static_cast<float>(gradient(i, static_cast<double>(weights[i])));
    }
    std::vector<std::byte> frame;
    EXPECT_TRUE(compressor->Compress(bucket.At(step), 0, &frame).ok());
    compressor->EndStep(true);
    FrameView view;
    Selection sent;
    EXPECT_TRUE(DecodeFrame(frame, {step, 0, 0, kElements}, kElements, &view, &sent).ok());
    std::vector<float> update(kElements);
    AddEntries(sent, &update);
    for (size_t i = 0; i < kElements; ++i) {
      weights[i] -= static_cast<float>(kLearningRate) * update[i];
      const double g = gradient(i, expected[i]);
      buffer[i] = static_cast<double>(kSgdMomentum) * buffer[i] + g;
      expected[i] -= kLearningRate *
                     (nesterov ? g + static_cast<double>(kSgdMomentum) * buffer[i] : buffer[i]);
      largest = std::max(largest, std::abs(static_cast<double>(weights[i]) - expected[i]));
    }
  }
  return largest;
}

TEST(DgcMemory, ForcedDenseEqualsMomentumSgd) {
  EXPECT_LE(LargestDifferenceFromSgd(false, 0.0), 1e-6);
  EXPECT_LE(LargestDifferenceFromSgd(false, 0.01), 1e-6);
  EXPECT_LE(LargestDifferenceFromSgd(true, 0.0), 1e-6);
  EXPECT_LE(LargestDifferenceFromSgd(true, 0.01), 1e-6);
}

// With masking sent entries lose their velocity, the others keep it.
TEST(DgcMemory, FactorMasking) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(
      Compressor::Create({.ratio = 0.5,
                          .whole_limit = 1,
                          .memory = {.name = "dgc", .momentum = 0.5, .momentum_masking = true}},
                         &compressor)
          .ok());
  OwnedBucket bucket(0, {2, 1});
  std::vector<std::byte> frame;
  bucket.values = {4.0f, 1.0f, 8.0f};
  ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
  compressor->EndStep(true);
  EXPECT_EQ(compressor->memory().Save(), (MemoryState{{"bucket0.parameter0/residual", {0.0f, 1.0f}},
                                                      {"bucket0.parameter0/velocity", {0.0f, 1.0f}},
                                                      {"bucket0.parameter1/residual", {0.0f}},
                                                      {"bucket0.parameter1/velocity", {8.0f}}}))
      << "the parameter that goes whole keeps its velocity";
  bucket.values = {0.0f, 1.0f, 0.0f};
  ASSERT_TRUE(compressor->Compress(bucket.At(1), 0, &frame).ok());
  compressor->EndStep(true);
  // Of the second element 1 + (0.5 * 1 + 1) = 2.5 was sent.
  EXPECT_EQ(compressor->memory().Save(), (MemoryState{{"bucket0.parameter0/residual", {0.0f, 0.0f}},
                                                      {"bucket0.parameter0/velocity", {0.0f, 0.0f}},
                                                      {"bucket0.parameter1/residual", {0.0f}},
                                                      {"bucket0.parameter1/velocity", {4.0f}}}));
}

// Without it all entries keep their velocity: what is sent over the steps is what
// momentum SGD would apply.
TEST(DgcMemory, WithoutMaskingTheVelocityStays) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(
      Compressor::Create(
          {.ratio = 0.5, .whole_limit = 1, .memory = {.name = "dgc", .momentum = 0.5}}, &compressor)
          .ok());
  OwnedBucket bucket(0, {2});
  std::vector<std::byte> frame;
  bucket.values = {4.0f, 1.0f};
  ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
  compressor->EndStep(true);
  EXPECT_EQ(compressor->memory().Save(),
            (MemoryState{{"bucket0.parameter0/residual", {0.0f, 1.0f}},
                         {"bucket0.parameter0/velocity", {4.0f, 1.0f}}}));
}

// What a codec rounds away stays in the residual; masking clears the velocity all the same.
TEST(DgcMemory, RoundingStaysInTheResidual) {
  const auto memory = MakeDgcMemory({.momentum = 0.5, .momentum_masking = true});
  const std::vector<float> gradient = {1.0f, 2.75f};
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory->Accumulate("p", gradient, &accumulation).ok());
  accumulation->Values();
  std::vector<float> taken(1);
  accumulation->TakeOut(std::vector<uint32_t>{1}, taken.data());
  memory->Settle("p", 5, std::vector<uint32_t>{6}, taken, std::vector<float>{2.5f});
  memory->Commit();
  EXPECT_EQ(memory->Save(),
            (MemoryState{{"p/residual", {1.0f, 0.25f}}, {"p/velocity", {1.0f, 0.0f}}}));
}

TEST(DgcMemory, ClipsTheGradientOfAParameterToTheNorm) {
  const auto memory = MakeDgcMemory({.momentum = 0.5, .clip_norm = 1.0});
  const std::vector<float> large = {3.0f, -4.0f}, small = {0.3f, -0.4f};
  Accumulation* accumulation = nullptr;
  ASSERT_TRUE(memory->Accumulate("large", large, &accumulation).ok());
  EXPECT_NEAR(accumulation->Values()[0], 0.6f, 1e-6f);
  EXPECT_NEAR(accumulation->Values()[1], -0.8f, 1e-6f);
  ASSERT_TRUE(memory->Accumulate("small", small, &accumulation).ok());
  EXPECT_TRUE(SameBits(accumulation->Values(), small));
  const std::vector<float> bad = {3.0f, INFINITY};
  ASSERT_TRUE(memory->Accumulate("bad", bad, &accumulation).ok());
  accumulation->Values();
  EXPECT_FALSE(accumulation->finite());
}

TEST(DgcMemory, VoidLeavesMemoryBitIdentical) {
  std::unique_ptr<Compressor> compressor;
  ASSERT_TRUE(
      Compressor::Create({.ratio = 0.1, .whole_limit = 4, .memory = {.name = "dgc"}}, &compressor)
          .ok());
  std::vector<std::byte> frame;
  OwnedBucket bucket(0, {4, 500});
  bucket.values = ValuesOf({Pattern::kUniform, 1, 504});
  ASSERT_TRUE(compressor->Compress(bucket.At(0), 0, &frame).ok());
  compressor->EndStep(true);
  const MemoryState before = compressor->memory().Save();
  for (size_t bad : {1, 300}) {
    bucket.values = ValuesOf({Pattern::kUniform, 2, 504});
    bucket.values[bad] = std::nanf("");
    ASSERT_TRUE(compressor->Compress(bucket.At(1), 0, &frame).ok());
    compressor->EndStep(false);
    for (const auto& [key, values] : compressor->memory().Save()) {
      EXPECT_TRUE(SameBits(values, before.at(key))) << key;
    }
  }
}

}  // namespace
}  // namespace cddp
