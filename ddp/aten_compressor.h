// Compressor for gradients on any device that libtorch computes on, by its own operators: the same
// memory and the same entries as the CPU's (cddp/compressor.h), ties included, with several
// operators where a kernel of ours has one sweep. Only entries come to the host, where frames are
// made and read.
//
// Memory of the device: 8 bytes per element with `residual`, 16 with `dgc`; while a bucket is
// compressed, 4 more for each of its elements and some 20 for those of its largest parameter.
// Frames are bit-identical to the CPU's where the device adds and multiplies in float32 as IEEE 754
// says.
#pragma once

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cddp/device_compressor.h"
#include "ddp/side_stream.h"

namespace cddp {

class AtenCompressor final : public DeviceCompressor {
 public:
  // InvalidArgument for selectors but topk, a clip_norm and adaptive budgets, and for a device that
  // lacks one of the operators (which a small step tries).
  static Status Create(at::Device device, const CompressorOptions& options,
                       std::unique_ptr<AtenCompressor>* compressor);

  // Does it all, and waits for the device.
  Status Start(const Bucket& bucket, uint32_t rank) override;
  Status Finish(std::vector<std::byte>* frame) override;
  Status Mean(std::span<const std::span<const std::byte>> frames, std::span<const FrameId> ids,
              size_t max_entries, const Bucket& bucket, bool* finite) override;
  void EndStep(bool commit) override;

  NormByParameter ResidualNorms() const override;
  Status Save(CompressorState* state) const override;
  Status Load(const CompressorState& state) override;

 private:
  // What is kept of a parameter: a residual unless the memory is none, a velocity with dgc.
  struct Kept {
    at::Tensor residual, velocity;
    at::Tensor next_residual, next_velocity;  // undefined where this step has none yet
  };
  struct Taken {
    at::Tensor indices, values;  // in the parameter, ascending
  };

  AtenCompressor(at::Device device, const CompressorOptions& options);
  Status Try();

  bool keeps() const { return options_.memory.name != "none"; }
  bool has_momentum() const { return options_.memory.name == "dgc"; }
  at::Tensor OnDevice(std::span<const float> values) const;
  at::Tensor OfBucket(const Bucket& bucket) const;
  Status CompressBucket(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame);
  at::Tensor Accumulate(const at::Tensor& gradient, Kept* kept) const;
  Taken Take(const at::Tensor& accumulated, size_t k, Kept* kept) const;
  void Settle(const Bucket& bucket, const std::vector<Taken>& taken, const Selection& decoded);

  const at::Device device_;
  const SideStream side_;
  std::map<std::string, Kept, std::less<>> kept_;
  std::vector<std::byte> frame_;  // of the bucket that was started
};

// The gathering collective with it. Throws StatusError for options that it cannot do. `transport`
// must outlive it.
std::unique_ptr<Collective> MakeAtenCollective(at::Device device, const CompressorOptions& options,
                                               Transport* transport);

}  // namespace cddp
