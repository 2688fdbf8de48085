// Decoding on the device: the sum of frames whose index codec is rice-blocks.
//
// Deterministic: each element is summed up by one thread, in the order in which the frames
// are given, without atomics. Not thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "cddp/status.h"
#include "core/cuda/bucket_layout.h"
#include "core/cuda/device.h"

namespace cddp::cuda {

// Frames as they came, their layouts validated (ReadFrameLayout of core/frame_layout.h).
class FrameDecoder {
 public:
  // Copies frames of one bucket to the device, which may still be under way on return: as may
  // what follows, until Wait. InvalidArgument for what is not coded as CodesOnDevice says, for
  // frames of different sizes of buckets or value codecs, and for too many entries. Memory: 1 KiB
  // for each block of entries, and so for each run.
  Status Upload(std::span<const FrameView> frames, cudaStream_t stream);
  // dense[i] = the sum of the frames, added in the order in which they were given, from 0, by
  // the divisor. `dense` is aligned to 16 bytes. Requires at least one frame.
  Status SumUploaded(float* dense, float divisor, cudaStream_t stream);

  // Waits for the stream. *good is false when some bytes were not what an encoder writes; what
  // was written is worthless then. *finite is false when some quotient is not finite.
  Status Wait(cudaStream_t stream, bool* good, bool* finite);

  // What may be read behind a frame's indices.
  static constexpr size_t kReadAheadBytes = 80;

  // What kernels know of a frame; `code_blocks`, `indices` and `values` are where they start
  // in what was uploaded, in bytes.
  struct Frame {
    uint32_t elements;
    uint32_t blocks;
    uint32_t first_block;  // among those of all frames
    size_t code_blocks;
    size_t indices;
    uint32_t index_bytes;
    size_t values;
  };

  // What kernels find: not 0 where there is such.
  struct Findings {
    uint32_t bad;  // some frame is not what an encoder writes
    uint32_t not_finite;
  };

 private:
  std::vector<Frame> frames_;
  ValueFormat value_format_ = ValueFormat::kFp32;
  uint32_t elements_ = 0;
  uint32_t most_blocks_ = 0;
  std::optional<bool> overlaps_;  // kernels; once it is known
  PinnedArray<std::byte> staging_;
  DeviceArray<std::byte> uploaded_;
  DeviceArray<uint32_t> offsets_;  // of entries, from the end of the block before
  DeviceArray<uint64_t> spans_;    // elements that blocks span, then those before each
  DeviceArray<uint64_t> block_at_;
  DeviceArray<uint32_t> blocks_before_;
  DeviceArray<Findings> findings_;
  PinnedArray<Findings> found_;
};

}  // namespace cddp::cuda
