// What training runs on: numbered samples, made into batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/aligned.h"

namespace cddp {

// How images lie in a batch.
enum class ImageLayout {
  kChannelsFirst,  // (samples, channels, rows, cols)
  kChannelsLast,   // (samples, rows, cols, channels)
};

// The shape of a sample: that of an image, or the context of a text.
struct SampleFormat {
  uint32_t channels = 0;  // 0 of a text
  uint32_t rows = 0;
  uint32_t cols = 0;
  ImageLayout layout = ImageLayout::kChannelsFirst;
  uint32_t context = 0;        // tokens; 0 of images
  double bytes_per_token = 0;  // of a text, the mean of its validation part: bits per byte are
                               // the loss of a token / (log(2) * bytes_per_token)
  int classes = 0;             // that a target can be: labels, or the tokens of the vocabulary

  uint32_t targets_per_sample() const { return context > 0 ? context : 1; }
};

// Either images or tokens; the other is empty.
struct Batch {
  uint32_t samples = 0;
  AlignedFloats images;          // normalised, in the layout of the format
  std::vector<int64_t> tokens;   // (samples, context)
  std::vector<int64_t> targets;  // (samples) labels, or (samples, context): the next tokens
};

class ImageSamples;

// Thread safety: any number of threads.
class Samples {
 public:
  virtual ~Samples() = default;

  const SampleFormat& format() const { return format_; }
  uint32_t count() const { return count_; }  // in an epoch; at least 1

  // Makes `batch` hold the samples of these numbers, each below count(), in this order.
  // What chance decides about a sample follows from the seed, the epoch (from 0) and its
  // number alone: not from its place in the batch, the worker or the thread. Allocates
  // only what `batch` lacks of memory.
  virtual void Make(std::span<const int64_t> numbers, uint64_t epoch, Batch* batch) const = 0;

  // Where they are images (image_samples.h), else null.
  virtual const ImageSamples* images() const { return nullptr; }

 protected:
  Samples(const SampleFormat& format, uint32_t count) : format_(format), count_(count) {}

 private:
  const SampleFormat format_;
  const uint32_t count_;
};

struct DatasetSplits {
  std::shared_ptr<const Samples> train;
  std::shared_ptr<const Samples> test;  // or validation; the same in every epoch
  std::string sha256;                   // equal on two ranks that train on the same bytes
};

}  // namespace cddp
