// DeviceCompressor: a rank's compressor for gradients in the memory of a device, such as a
// GPU. Frames come to the host, where collectives carry them; those of all ranks are decoded
// on the device. CudaCompressor (cuda_compressor.h) is one.
//
//   Start: accumulate -> select -> encode         on the device, without waiting
//   Finish: wait, copy the frame to the host
//   Mean: frames of all ranks -> gradient         waits as well
//
// One object per rank; not thread safe, but that Mean, EntryCount and format may run while
// another bucket is started and finished on another thread. Deterministic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cddp/bucket.h"
#include "cddp/collective.h"
#include "cddp/compression.h"
#include "cddp/frame.h"
#include "cddp/status.h"
#include "cddp/transport.h"

namespace cddp {

class DeviceCompressor : public Compression {
 public:
  const FrameFormat& format() const { return options_.format; }

  // The most entries of a frame of this bucket: it has as many.
  size_t EntryCount(const Bucket& bucket) const;

  Status SetRatio(double ratio) override;
  double ratio() const override { return options_.ratio; }
  std::string_view memory_name() const override { return options_.memory.name; }

  // Starts the frame of a bucket sent by `rank`. bucket.values are in the device's memory and
  // must stay as they are until Finish.
  virtual Status Start(const Bucket& bucket, uint32_t rank) = 0;
  // Waits for the bucket that was started last, and replaces *frame by its frame. A
  // non-finite gradient gives a frame without entries that says so.
  virtual Status Finish(std::vector<std::byte>* frame) = 0;

  // Replaces bucket.values by the mean of the frames, one of each rank with its id, which are
  // added in the order given; bucket.parameters are those that their entries are of. Each frame is
  // validated, with the id and the most entries that are expected of it; Corrupt names the one that
  // is not good, and the values are unspecified then. Where a sender's gradient or the mean is not
  // finite, *finite becomes false and all values NaN.
  virtual Status Mean(std::span<const std::span<const std::byte>> frames,
                      std::span<const FrameId> ids, size_t max_entries, const Bucket& bucket,
                      bool* finite) = 0;

  // Ends the step for all buckets. Every rank passes the same value.
  virtual void EndStep(bool commit) = 0;

 protected:
  explicit DeviceCompressor(const CompressorOptions& options) : options_(options) {}

  // InvalidArgument for options that Compressor refuses, selectors but topk, a clip_norm and
  // adaptive budgets. `where`: "a GPU".
  static Status CheckOptions(const CompressorOptions& options, std::string_view where);
  // What Load refuses (compression.h), found by a Compressor. Copies the memory to the host.
  Status CheckState(const CompressorState& state) const;

  CompressorOptions options_;
};

// MakeGatherCollective for gradients in a device's memory: so are the values of its buckets.
// `transport` must outlive it.
std::unique_ptr<Collective> MakeDeviceGatherCollective(
    Transport* transport, std::unique_ptr<DeviceCompressor> compressor);

}  // namespace cddp
