// A group of ranks as threads, and what they train on.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cddp/collective.h"
#include "cddp/transport.h"
#include "tests/core/owned_bucket.h"
#include "tests/core/random_bits.h"

namespace cddp {

// A sanitizer finds the same in fewer steps, and each takes ten times as long.
inline constexpr bool kInstrumented = CDDP_CASE_DIVISOR > 1;

inline constexpr auto kWorldSizes = [] {
  if constexpr (kInstrumented) {
    return std::array{1, 2, 3, 5};
  } else {
    return std::array{1, 2, 3, 4, 5, 8};
  }
}();

// Steps of the tests that want many, by what the transport of the suite can do.
extern const uint64_t kManySteps;

// Groups of the tests that make one for each of many cases.
extern const int kManyGroups;

// The most ranks that the transport of the suite can do in a test.
extern const int kMostRanks;

// Calls rank_main on a thread per rank, over the transport that the suite is built for:
// in-process (rank_group.cc) or Gloo (tests/ddp/gloo_rank_group.cc). In-process a rank
// whose rank_main returns leaves the group.
void RunRanks(int world_size, const std::function<void(Transport&)>& rank_main,
              std::chrono::milliseconds timeout = std::chrono::seconds(30));

inline std::unique_ptr<Collective> GatherOver(Transport* transport, double ratio,
                                              uint32_t whole_limit = 4) {
  std::unique_ptr<Compressor> compressor;
  const Status status =
      Compressor::Create({.ratio = ratio, .whole_limit = whole_limit}, &compressor);
  EXPECT_TRUE(status.ok()) << status.message();
  return MakeGatherCollective(transport, std::move(compressor));
}

// Three buckets of parameters that go whole, that do not, and a mixture.
inline std::vector<OwnedBucket> SomeBuckets() {
  return {OwnedBucket(0, {3, 61, 4}), OwnedBucket(1, {150}), OwnedBucket(2, {1, 2, 4})};
}

// The gradient of a rank in a step: the same wherever it is asked for.
inline void FillGradient(int rank, uint64_t step, OwnedBucket* bucket) {
  RandomBits bits(step * 1'000'003 + static_cast<uint64_t>(rank) * 1009 + bucket->index);
  for (float& value : bucket->values) value = bits.Gradient();
}

// The mean over the ranks of the gradients' magnitudes: what rounding errors of their mean
// are measured by, since a transport may add in any order.
inline std::vector<double> MeanMagnitudes(int ranks, uint64_t step, OwnedBucket bucket) {
  std::vector<double> magnitudes(bucket.values.size());
  for (int rank = 0; rank < ranks; ++rank) {
    FillGradient(rank, step, &bucket);
    for (size_t i = 0; i < magnitudes.size(); ++i) {
      magnitudes[i] += std::abs(bucket.values[i]) / static_cast<double>(ranks);
    }
  }
  return magnitudes;
}

inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace cddp
