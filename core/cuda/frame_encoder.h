// Encoding on the device: the payload of a frame (docs/wire_format.md) with the index codec
// rice-blocks, byte for byte what core/frame.cc writes.
//
// What is a block and how long its values are is known before the step (bucket_layout.h);
// only the lengths of the indices are not. Nothing here waits for the device or allocates in
// a step. Deterministic; not thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cddp/frame.h"
#include "cddp/status.h"
#include "core/cuda/bucket_layout.h"
#include "core/cuda/device.h"
#include "core/cuda/selection.h"

namespace cddp::cuda {

class FrameEncoder {
 public:
  // For what `selection` takes.
  Status Prepare(const BucketSelection& selection, ValueFormat values, cudaStream_t stream);

  // Encodes what the selection has taken, replaces its values by what receivers decode,
  // and leaves the difference in the new memory, if there is one (null: none). The length of the
  // indices goes to the selection's outcome. `key`: of stochastic rounding (core/value_codec.h), if
  // wanted.
  Status Encode(const BucketSelection& selection, float* residual_next, bool stochastic,
                uint64_t key, cudaStream_t stream);

  // Indices (from their lengths on) and values, on the device.
  const std::byte* payload() const { return payload_.data(); }
  uint32_t value_bytes() const { return value_bytes_; }
  // Of the payload, whatever the indices are.
  size_t max_bytes() const { return max_bytes_; }

 private:
  ValueFormat values_ = ValueFormat::kFp32;
  uint32_t blocks_ = 0;
  bool overlaps_ = false;  // its kernels do
  uint32_t value_bytes_ = 0;
  size_t max_bytes_ = 0;
  DeviceArray<CodeBlock> code_blocks_;
  DeviceArray<uint32_t> codes_;
  DeviceArray<uint32_t> block_at_;
  DeviceArray<uint32_t> arrived_;
  DeviceArray<std::byte> payload_;
};

}  // namespace cddp::cuda
