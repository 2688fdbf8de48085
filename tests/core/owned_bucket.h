// A bucket that owns its values and its layout.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cddp/bucket.h"

namespace cddp {

struct OwnedBucket {
  OwnedBucket(uint32_t bucket, const std::vector<uint32_t>& counts) : index(bucket) {
    uint32_t offset = 0;
    for (uint32_t count : counts) {
      parameters.push_back(
          {"bucket" + std::to_string(index) + ".parameter" + std::to_string(parameters.size()),
           offset, count});
      offset += count;
    }
    values.resize(offset);
  }

  Bucket At(uint64_t step) { return {step, index, values, parameters}; }

  uint32_t index;
  std::vector<BucketParameter> parameters;
  std::vector<float> values;
};

}  // namespace cddp
