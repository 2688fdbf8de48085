// A bucket: consecutive parameters whose gradients are synchronised together.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cddp {

// Where a parameter lies in its bucket, in elements.
struct BucketParameter {
  std::string name;
  uint32_t offset = 0;
  uint32_t count = 0;

  bool operator==(const BucketParameter&) const = default;
};

// `values` holds this rank's gradient and is replaced by the synchronised one.
// `parameters` tile it without gaps. Every rank sees the same layout.
struct Bucket {
  uint64_t step = 0;
  uint32_t index = 0;
  std::span<float> values;
  std::span<const BucketParameter> parameters;
};

}  // namespace cddp
