// Compressor for gradients on a GPU: the same memory, the same entries and the same
// frames, bit for bit, as the CPU's (compressor.h) with the index codec rice-blocks.
//
// Selection is exact Top-K per parameter with one sweep of the memory in the usual case
// (core/cuda/selection.h). GPU memory: 8 bytes per element with `residual`, 16 with `dgc`,
// twice that for a moment when DDP regroups its buckets; for what may be sent, 1 byte per element
// and 8 for each entry, of parameters of up to 65,536 elements 8 bytes per element; 16 KiB for each
// parameter; of all ranks' frames 4 bytes for each entry, and at least 1 KiB for each parameter.
//
// One object per rank and stream. Needs a GPU of compute capability 8.0 or later. Pointers are
// void and float: no CUDA types here.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "cddp/device_compressor.h"

namespace cddp {

class CudaCompressor final : public DeviceCompressor {
 public:
  // On the device that is the thread's current one, which later calls use from any thread;
  // `stream` is a cudaStream_t of it (null: the default one). Of the options: the selector
  // must be topk, clip_norm 0, adaptive_every 0, the index format auto or rice-blocks, the
  // values fp32, bf16, int8 or int4; InvalidArgument otherwise. Unavailable when there is no
  // usable device.
  static Status Create(const CompressorOptions& options, void* stream,
                       std::unique_ptr<CudaCompressor>* compressor);
  // On this device, with a stream of its own, which waits for no other: gradients must be there
  // when Start is called.
  static Status CreateOn(int device, const CompressorOptions& options,
                         std::unique_ptr<CudaCompressor>* compressor);
  ~CudaCompressor() override;

  // bucket.values are aligned to 16 bytes here and for Mean. Waits for the device only the first
  // time that it sees a bucket, or when its layout or the ratio has changed. InvalidArgument for
  // 2^31 elements or more, gradients that are not aligned or of another size than in the step
  // before; Unavailable when memory runs out.
  Status Start(const Bucket& bucket, uint32_t rank) override;
  Status Finish(std::vector<std::byte>* frame) override;

  Status Mean(std::span<const std::span<const std::byte>> frames, std::span<const FrameId> ids,
              size_t max_entries, const Bucket& bucket, bool* finite) override;

  void EndStep(bool commit) override;

  Status SetRatio(double ratio) override;
  // These wait for the device.
  NormByParameter ResidualNorms() const override;
  Status Save(CompressorState* state) const override;
  Status Load(const CompressorState& state) override;

 private:
  struct Impl;
  CudaCompressor(const CompressorOptions& options, std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Ok for the number of a device that there is. Unavailable says why there are none, as without a
// driver; InvalidArgument how many there are.
Status RequireCudaDevice(int device);

}  // namespace cddp
