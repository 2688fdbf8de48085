// Compressor for gradients on a GPU: the same memory, the same entries and the same
// frames, bit for bit, as the CPU's (compressor.h) with the index codec rice-blocks. Frames
// come to the host, where collectives carry them; what comes back is decoded on the GPU.
//
//   Start: accumulate -> select -> encode         on the stream, without waiting
//   Finish: wait, copy the frame to the host
//   Sum: frames of all ranks -> gradient          waits as well
//
// Selection is exact Top-K per parameter with one sweep of the memory in the usual case
// (core/cuda/selection.h). GPU memory: 8 bytes per element with `residual`, 16 with `dgc`,
// twice that for a moment when DDP regroups its buckets; 32 for each entry sent, or a quarter
// of a byte per element if that is more; 8 KiB for each parameter.
//
// One object per rank and stream; not thread safe. Deterministic. Needs a GPU of compute
// capability 8.0 or later. Pointers are void and float: no CUDA types here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "cddp/memory.h"
#include "cddp/status.h"

namespace cddp {

class CudaCompressor {
 public:
  // On the device that is the thread's current one, which later calls use from any thread;
  // `stream` is a cudaStream_t of it (null: the default one). Of the options: the selector
  // must be topk, clip_norm 0, adaptive_every 0, the index format auto or rice-blocks, the
  // values fp32, bf16, int8 or int4; InvalidArgument otherwise. Unavailable when there is no
  // usable device.
  static Status Create(const CompressorOptions& options, void* stream,
                       std::unique_ptr<CudaCompressor>* compressor);
  ~CudaCompressor();

  // The most entries of a frame of this bucket: it has as many.
  size_t EntryCount(const Bucket& bucket) const;

  // Enqueues all up to the frame. bucket.values are in device memory, aligned to 16 bytes,
  // and must stay as they are until Finish. Waits for the device only the first time that
  // it sees a bucket or its layout has changed. InvalidArgument for gradients that are not
  // aligned or of another size than in the step before; Unavailable when memory runs out.
  Status Start(const Bucket& bucket, uint32_t rank);
  // Waits for the bucket that was started last, and replaces *frame by its frame. A
  // non-finite gradient gives a frame without entries that says so.
  Status Finish(std::vector<std::byte>* frame);

  // Replaces a gradient in device memory, aligned to 16 bytes, by the sum of frames (one or
  // more, of its bucket), added in the order given, and waits. Each frame is validated, with
  // the id and the most entries that are expected of it. *finite is false when a sender's
  // gradient was not finite: the step is void then. Corrupt names the frame; the gradient
  // is unspecified then.
  Status Sum(std::span<const std::vector<std::byte>> frames, std::span<const FrameId> ids,
             size_t max_entries, float* gradient, bool* finite);

  // Ends the step for all buckets. Every rank passes the same value.
  void EndStep(bool commit);

  // Between steps; names and meaning as Memory's. Waits for the device.
  Status Save(MemoryState* state) const;
  Status Load(const MemoryState& state);

  // Parameters whose threshold failed, so that their bucket was swept again.
  uint64_t second_sweeps() const;

 private:
  struct Impl;
  explicit CudaCompressor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Devices that there are; 0 without a driver. Unavailable (*problem) says why there are none.
int CudaDeviceCount(Status* problem);

}  // namespace cddp
