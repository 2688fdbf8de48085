// Parameter shapes of known models, in the order in which they are registered: what a
// collective-only benchmark synchronises.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cddp/bucket.h"

namespace cddp {

struct ParameterShape {
  std::string name;
  std::vector<int64_t> sizes;

  uint32_t elements() const;
};

std::vector<std::string> ShapeNames();

// Those of a known model, or else of the file `name`: a parameter a line, its name and
// sizes, such as `fc.weight 10 512`; empty lines and what follows a # do not count.
// Throws StatusError: kInvalidArgument for a name that is neither, kCorrupt naming the
// line.
std::vector<ParameterShape> ShapesOf(const std::string& name);

// As such a file.
std::string ShapesText(const std::vector<ParameterShape>& shapes);

// Buckets as PyTorch's DDP makes them: parameters in reverse order, the first bucket full
// at 1 MiB, later ones at `bucket_bytes`.
std::vector<std::vector<BucketParameter>> BucketsOf(const std::vector<ParameterShape>& shapes,
                                                    uint64_t bucket_bytes);

}  // namespace cddp
