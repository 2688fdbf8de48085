// Batches: those of an epoch, as tensors on the device that trains.
#pragma once

#include <cstdint>
#include <memory>

#include "trainer/data/samples.h"
#include "trainer/sampler.h"
#include "trainer/tensor_batch.h"

namespace cddp {

// The batch of step s holds the samples of DistributedSampler::Batch(s) in their order; of a
// step that has none for this worker, sample 0. All calls from one thread.
class Batches {
 public:
  virtual ~Batches() = default;

  // Gives up the epoch under way and begins `epoch` (from 0) at `first_step`.
  virtual void StartEpoch(uint64_t epoch, uint32_t first_step) = 0;

  // That of the next step, valid until the next call. Throws StatusError(kInternal) behind the
  // last one of the epoch.
  virtual TensorBatch Next() = 0;

  // That of the epoch that was begun last.
  virtual const DistributedSampler& sampler() const = 0;
};

// Made ahead on a thread of the host (loader.h), and copied to the device, if it is another.
std::unique_ptr<Batches> MakeHostBatches(std::shared_ptr<const Samples> samples,
                                         DistributedSampler sampler, at::Device device);

// Cut out of the images, and augmented, by the device, which keeps those that the sampler draws
// from in its memory: a byte for each pixel, with the margins that crops reach into. It makes the
// batches of several steps at once. The same bits as the host's.
std::unique_ptr<Batches> MakeDeviceBatches(std::shared_ptr<const ImageSamples> images,
                                           DistributedSampler sampler, at::Device device);

// The device's of images on a device other than the CPU that has room for them, else the host's.
std::unique_ptr<Batches> MakeBatches(std::shared_ptr<const Samples> samples,
                                     DistributedSampler sampler, at::Device device);

}  // namespace cddp
