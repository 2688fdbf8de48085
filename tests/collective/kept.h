// What ranks keep of a bucket, element by element.
#pragma once

#include <algorithm>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/memory.h"
#include "collective/shards.h"

namespace cddp {

// A state by parameter, each in its place in the bucket; zero where nothing is kept.
inline std::vector<float> InPlace(const MemoryState& state, const Bucket& bucket) {
  std::vector<float> kept(bucket.values.size());
  for (const BucketParameter& parameter : bucket.parameters) {
    const auto it = state.find(parameter.name);
    if (it != state.end()) std::ranges::copy(it->second, kept.begin() + parameter.offset);
  }
  return kept;
}

// What the rank keeps as an owner (split), back in its place in the bucket; zero elsewhere.
inline std::vector<float> OwnedInPlace(const MemoryState& owner, const Bucket& bucket, int ranks,
                                       int rank) {
  std::vector<float> spread(bucket.values.size());
  const Shards shards(bucket, ranks);
  for (size_t p = 0; p < bucket.parameters.size(); ++p) {
    const auto it = owner.find(bucket.parameters[p].name);
    if (it == owner.end()) continue;
    std::ranges::copy(shards.Spread(rank, p, it->second),
                      spread.begin() + bucket.parameters[p].offset);
  }
  return spread;
}

}  // namespace cddp
