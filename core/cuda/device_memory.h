// What is kept on the device of each parameter (memory.h): residuals, and velocities with dgc,
// before and after a step.
//
// A bucket's parameters lie side by side, so that one kernel works on all; DDP regroups its
// buckets at times, then they move. Not thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cddp/bucket.h"
#include "cddp/memory.h"
#include "cddp/status.h"
#include "core/cuda/device.h"
#include "core/cuda/selection.h"

namespace cddp::cuda {

// Of a bucket's elements.
struct BucketMemory {
  DeviceArray<float> residual[2];
  DeviceArray<float> velocity[2];
  int side = 0;          // of the old state
  bool pending = false;  // the new state is being written

  // The old state of the memory's part (cddp/memory.h).
  float* Part(size_t part) { return (part == 0 ? residual : velocity)[side].data(); }
  States states() {
    return {residual[side].data(), residual[1 - side].data(), velocity[side].data(),
            velocity[1 - side].data()};
  }
};

class DeviceMemory {
 public:
  // All is done on the stream, without waiting where not said otherwise.
  DeviceMemory(std::string_view name, cudaStream_t stream);

  MemoryKind kind() const { return kind_; }

  // Memory for a bucket of these parameters, with what is kept of them; those that are not
  // known yet start from zero. InvalidArgument when a parameter has another number of elements
  // than before.
  Status MoveIn(std::span<const BucketParameter> parameters, size_t elements,
                std::shared_ptr<BucketMemory>* memory);
  // Whether all parameters still are in this bucket's memory.
  bool AreIn(std::span<const BucketParameter> parameters,
             const std::shared_ptr<BucketMemory>& memory) const;

  void EndStep(bool commit);

  // Keys as those of the host's memories. They wait. Load takes what a host's memory of this
  // kind has accepted.
  Status Save(MemoryState* state) const;
  Status Load(const MemoryState& state);
  NormByParameter ResidualNorms() const;

 private:
  // Where a parameter's memory is.
  struct Home {
    std::shared_ptr<BucketMemory> memory;
    size_t offset = 0;
    size_t elements = 0;
  };
  using Homes = std::map<std::string, Home, std::less<>>;

  Status Allocate(size_t elements, std::shared_ptr<BucketMemory>* memory) const;

  const std::string name_;
  const std::span<const std::string_view> parts_;
  const MemoryKind kind_;
  const cudaStream_t stream_;
  Homes homes_;
};

}  // namespace cddp::cuda
