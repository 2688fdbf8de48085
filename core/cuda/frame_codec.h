// Frames on the device: the payload of a frame (docs/wire_format.md) with the index codec
// rice-blocks, byte for byte what core/frame.cc writes, and back.
//
// A warp codes a block of 256 entries. What is a block and how long its values are is
// known before the step (bucket_layout.h); only the lengths of the indices are not.
//
// Nothing here waits for the device or allocates in a step, but for the decoder's uploads
// when frames get larger. Deterministic: frames are added in the order in which they are
// given, each element by one thread, without atomics. Not thread safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cddp/frame.h"
#include "cddp/status.h"
#include "core/cuda/bucket_layout.h"
#include "core/cuda/device.h"
#include "core/cuda/selection.h"

namespace cddp::cuda {

// fp32, bf16, int8 or int4.
bool CodesOnDevice(ValueFormat format);

// The blocks of runs of entries, one for each parameter.
std::vector<CodeBlock> CodeBlocksOf(std::span<const size_t> run_ends, ValueFormat values);

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
  uint32_t value_bytes_ = 0;
  size_t max_bytes_ = 0;
  DeviceArray<CodeBlock> code_blocks_;
  DeviceArray<uint32_t> codes_;
  DeviceArray<uint32_t> block_at_;
  DeviceArray<uint32_t> arrived_;
  DeviceArray<std::byte> payload_;
};

// Frames as they came, their layouts validated (ReadFrameLayout of core/frame_layout.h).
class FrameDecoder {
 public:
  // Copies frames of one bucket to the device, which may still be under way on return: as may
  // what follows, until Check. InvalidArgument for what is not coded as CodesOnDevice says,
  // and for frames of different buckets or value codecs.
  Status Upload(std::span<const FrameView> frames, cudaStream_t stream);
  // dense[i] = the sum of the frames, added in the order in which they were given, from 0.
  // `dense` is aligned to 16 bytes. Requires at least one frame.
  Status SumUploaded(float* dense, cudaStream_t stream);

  // Waits for the stream. Corrupt, with the frame's sender, when bytes of a frame were not what
  // an encoder writes; the sum is worthless then.
  Status Check(cudaStream_t stream);

  // What may be read behind a frame's indices.
  static constexpr size_t kReadAheadBytes = 32;

  // What kernels know of a frame; `code_blocks`, `indices` and `values` are where they start
  // in what was uploaded, in bytes.
  struct Frame {
    uint32_t elements;
    uint32_t entries;
    uint32_t blocks;
    uint32_t first_entry;  // among those of all frames
    uint32_t first_block;
    size_t code_blocks;
    size_t indices;
    uint32_t index_bytes;
    size_t values;
  };

 private:
  std::vector<FrameId> ids_;
  std::vector<Frame> frames_;
  ValueFormat value_format_ = ValueFormat::kFp32;
  uint32_t elements_ = 0;
  uint32_t most_blocks_ = 0;
  PinnedArray<std::byte> staging_;
  DeviceArray<std::byte> uploaded_;
  DeviceArray<uint32_t> offsets_;  // of entries, from the end of the block before
  DeviceArray<uint64_t> spans_;    // elements that blocks span, then those before each
  DeviceArray<uint32_t> block_at_;
  DeviceArray<uint32_t> bad_;
  PinnedArray<uint32_t> bad_frames_;
};

}  // namespace cddp::cuda
