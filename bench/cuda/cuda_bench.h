// What `cddp bench select` and `cddp bench wire` measure with --device cuda, and bench_cuda,
// which needs no libtorch: selection, encoding and decoding on a GPU, against the time that
// their memory traffic alone takes.
//
// Gradients are normal with variance 1 and drift from step to step, made anew before each
// (larger than the L2 cache). Times are of CUDA events around the launches of one step,
// medians. The floor is the rate of a copy from device to device in the same run, times
// the bytes that a step must move: 12 per element with `residual` (gradient and memory
// read, memory written), 20 with `dgc`, 4 with `none`.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cddp::cuda {

using Json = nlohmann::ordered_json;

struct CudaBenchOptions {
  int device = 0;
  std::vector<uint32_t> parameters;  // their elements
  int steps = 40;
  int warmup = 30;  // memories fill, and thresholds rise fast
  int frames = 8;   // that are decoded
  uint64_t seed = 1;
  std::vector<double> ratios = {0.01, 0.001, 0.1};
  std::vector<std::string> memories = {"residual", "dgc", "none"};
  std::vector<std::string> values = {"fp32", "int4"};  // of the codecs that CudaCompressor has
  // Another way to select the `entries` largest magnitudes of a gradient in the device's memory,
  // enqueued on the default stream; timed beside ours where there is one.
  std::function<void(const float* gradient, uint32_t elements, uint32_t entries)> peer;
};

// Both print a line per row to `table` and return the device's properties and "rows". Times
// are in microseconds (*_us_median). Throw StatusError: kUnavailable without a usable device or
// enough of its memory, kInvalidArgument for the number of a device that is not there.

// Selecting and encoding with each memory, ratio and value codec.
Json CompressionOnCuda(const CudaBenchOptions& options, std::FILE* table);

// Encoding, and summing up the frames of some ranks, with each ratio and value codec.
Json DecodingOnCuda(const CudaBenchOptions& options, std::FILE* table);

}  // namespace cddp::cuda
