// Who owns what: every element once, the same in every bucket, nearly equal shares.
#include "collective/shards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tests/core/owned_bucket.h"
#include "tests/core/random_bits.h"

namespace cddp {
namespace {

// Owner and place of each element of the bucket.
std::vector<std::pair<int, uint32_t>> PlacesOf(const Bucket& bucket, int ranks) {
  const Shards shards(bucket, ranks);
  Selection all;
  for (const BucketParameter& parameter : bucket.parameters) {
    for (uint32_t i = 0; i < parameter.count; ++i) {
      all.indices.push_back(parameter.offset + i);
      all.values.push_back(static_cast<float>(parameter.offset + i));
    }
  }
  std::vector<Selection> parts;
  std::vector<std::vector<size_t>> part_run_ends;
  shards.Deal(all, &parts, &part_run_ends);
  std::vector<std::pair<int, uint32_t>> places(bucket.values.size());
  for (int o = 0; o < ranks; ++o) {
    const Selection& part = parts[static_cast<size_t>(o)];
    EXPECT_EQ(part.size(), shards.elements(o));
    for (size_t i = 0; i < part.size(); ++i) {
      EXPECT_EQ(part.indices[i], i) << "a shard has no gaps";
      places[static_cast<size_t>(part.values[i])] = {o, part.indices[i]};
    }
    for (size_t p = 0; p < bucket.parameters.size(); ++p) {
      const BucketParameter& own = shards.Layout(o)[p];
      EXPECT_EQ(own.name, bucket.parameters[p].name);
      EXPECT_EQ(part_run_ends[static_cast<size_t>(o)][p], own.offset + own.count);
    }
  }
  return places;
}

TEST(Shards, EveryElementHasOneOwnerAndComesBack) {
  for (int ranks : {1, 2, 3, 5, 8, 64}) {
    OwnedBucket bucket(0, {3, 16'384, 16'385, 1'000, 0, 49'151, 49'152, 49'153, 400'000, 1});
    const auto places = PlacesOf(bucket.At(0), ranks);
    EXPECT_EQ(std::set(places.begin(), places.end()).size(), places.size());
    const Shards shards(bucket.At(0), ranks);
    std::vector<float> dense(bucket.values.size(), -1.0f);
    for (int o = 0; o < ranks; ++o) {
      std::vector<uint32_t> indices(shards.elements(o));
      std::iota(indices.begin(), indices.end(), 0u);
      std::vector<float> values(indices.size());
      for (size_t e = 0; e < places.size(); ++e) {
        if (places[e].first == o) values[places[e].second] = static_cast<float>(e);
      }
      shards.ToBucket(o, indices);
      ASSERT_TRUE(std::ranges::is_sorted(indices));
      for (size_t i = 0; i < values.size(); ++i) dense[indices[i]] = values[i];
    }
    for (size_t e = 0; e < dense.size(); ++e) ASSERT_EQ(dense[e], static_cast<float>(e)) << ranks;
  }
}

TEST(Shards, OwnershipDoesNotDependOnTheBucket) {
  OwnedBucket alone(0, {50'000});
  OwnedBucket among(1, {70, 50'000, 9});
  among.parameters[1].name = alone.parameters[0].name;
  const auto places = PlacesOf(alone.At(0), 3);
  const auto others = PlacesOf(among.At(0), 3);
  for (size_t e = 0; e < 50'000; ++e) EXPECT_EQ(others[70 + e].first, places[e].first);
}

TEST(Shards, OwnersHaveNearlyEquallyMuch) {
  OwnedBucket bucket(0, {});
  RandomBits bits(1);
  std::vector<uint32_t> counts;
  for (int i = 0; i < 100; ++i) counts.push_back(static_cast<uint32_t>(bits.Below(500'000)));
  const OwnedBucket large(0, counts);
  OwnedBucket copy = large;
  for (int ranks : {2, 8, 64}) {
    const Shards shards(copy.At(0), ranks);
    // Of each parameter at most a block more or less than the others, at random.
    const double mean = static_cast<double>(copy.values.size()) / ranks;
    constexpr double kSpread = 4 * 10 * 0.5;  // blocks: 4 standard deviations of 100 such
    for (int o = 0; o < ranks; ++o) {
      EXPECT_NEAR(shards.elements(o), mean, kSpread * kOwnerBlock);
      EXPECT_GT(shards.elements(o), 0u);
    }
  }
}

TEST(Shards, DealtEntriesAreCollected) {
  OwnedBucket bucket(0, {30'000, 5, 100'000});
  const Shards shards(bucket.At(0), 4);
  Selection entries;
  RandomBits bits(2);
  for (const BucketParameter& parameter : bucket.parameters) {
    for (uint32_t i = 0; i < parameter.count; ++i) {
      if (bits.Below(3) != 0) continue;
      entries.indices.push_back(parameter.offset + i);
      entries.values.push_back(bits.Gradient());
    }
  }
  std::vector<Selection> parts;
  std::vector<std::vector<size_t>> part_run_ends;
  shards.Deal(entries, &parts, &part_run_ends);
  for (Selection& part : parts) {
    for (float& value : part.values) value += 1.0f;
  }
  Selection collected = entries;
  shards.Collect(parts, &collected);
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(collected.values[i], entries.values[i] + 1.0f);
  }
}

TEST(Shards, SharesAddUpToTheBudget) {
  const std::vector<uint32_t> elements = {128, 128, 64, 70, 0};
  for (size_t budget : {0, 1, 2, 4, 39, 100, 389, 390, 1'000}) {
    for (uint32_t draw : {0u, 1u, 1u << 31, ~0u}) {
      const std::vector<size_t> shares = OwnerShares(budget, elements, draw);
      EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), size_t{0}),
                std::min<size_t>(budget, 390));
      for (size_t o = 0; o < elements.size(); ++o) {
        EXPECT_LE(shares[o], elements[o]);
        EXPECT_LT(std::abs(static_cast<double>(shares[o]) -
                           std::min<double>(static_cast<double>(budget), 390) * elements[o] / 390),
                  1.0);
      }
    }
  }
}

// Also where it is far below one entry.
TEST(Shards, SharesAreExactInTheMean) {
  OwnedBucket bucket(0, {390});
  const Shards shards(bucket.At(0), 5);
  const std::vector<uint32_t> elements = {128, 128, 64, 69, 1};
  constexpr int kSteps = 10'000;
  for (size_t budget : {1, 2, 39}) {
    std::vector<double> sums(elements.size());
    for (uint64_t step = 0; step < kSteps; ++step) {
      const std::vector<size_t> shares = OwnerShares(budget, elements, shards.Draw(0, step));
      for (size_t o = 0; o < shares.size(); ++o) sums[o] += static_cast<double>(shares[o]);
    }
    for (size_t o = 0; o < elements.size(); ++o) {
      const double exact = static_cast<double>(budget) * elements[o] / 390;
      EXPECT_NEAR(sums[o], kSteps * exact, 4) << "owner " << o;
    }
  }
}

}  // namespace
}  // namespace cddp
