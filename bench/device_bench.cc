#include "bench/device_bench.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "bench/cuda/cuda_bench.h"
#include "bench/distributions.h"
#include "bench/slow_peers.h"
#include "cddp/selection.h"
#include "trainer/device.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

constexpr std::array kSelectOnDeviceColumns = {"memory",
                                               "ratio",
                                               "values",
                                               "entries",
                                               "floor_us",
                                               "select_us_median",
                                               "select_ratio_to_floor",
                                               "encode_us_median",
                                               "cold_select_us_median",
                                               "failed_thresholds",
                                               "frame_bytes",
                                               "topk_us_median"};
constexpr std::array kWireOnDeviceColumns = {
    "ratio", "values", "frames", "frame_bytes_mean", "encode_us_median", "decode_us_median"};

void RefuseWith(const std::string& device, const char* flag, bool given) {
  if (!given) return;
  Refuse(fmt::format("{} is of the measurement on the CPU: leave it out with --device {}", flag,
                     device));
}

// What both commands are asked.
template <typename Options>
cuda::CudaBenchOptions DeviceOptionsOf(const Options& o) {
  constexpr int kLeastSteps = 8;
  const int device = CudaNumber(o.device);
  if (device < 0) {
    Refuse(fmt::format("--device is cpu, cuda or cuda:N, got \"{}\"", o.device));
  }
  RefuseWith(o.device, "--gradients", !o.gradients.empty());
  cuda::CudaBenchOptions options{.device = device};
  const int64_t elements = o.elements.value_or(static_cast<int64_t>(kUsualSize));
  RequireRange("--elements", elements, 1, std::numeric_limits<uint32_t>::max());
  options.parameters = {static_cast<uint32_t>(elements)};
  if (o.ratio) {
    RequireRatio(*o.ratio);
    options.ratios = {*o.ratio};
  }
  if (o.steps < kLeastSteps || o.steps > 1'000'000) {
    Refuse(fmt::format("--steps must be from {} to 1000000 with --device {}, got {}", kLeastSteps,
                       o.device, o.steps));
  }
  options.steps = o.steps;
  options.seed = static_cast<uint64_t>(o.seed);
  return options;
}

int Report(const BenchOutputs& outputs, std::span<const char* const> columns,
           const cuda::Json& report) {
  nlohmann::json settings = report;
  const nlohmann::json rows = settings.at("rows");
  settings.erase("rows");
  WriteOutputs(outputs, columns, rows, settings);
  return 0;
}

}  // namespace

int SelectBenchOnDevice(const SelectBenchOptions& o) {
  cuda::CudaBenchOptions options = DeviceOptionsOf(o);
  RefuseWith(o.device, "--threads", o.threads.has_value());
  RefuseWith(o.device, "--distribution", o.distribution.has_value());
  RefuseWith(o.device, "--full", o.full);
  RefuseWith(o.device, "--plot", !o.plot.empty());
  if (o.memory) {
    RequireName("memory", *o.memory, options.memories);
    options.memories = {*o.memory};
  }
  // Only a libtorch with CUDA has one.
  if (!o.no_peers && PresentDevices().cuda > 0) {
    options.peer = [device = options.device](const float* gradient, uint32_t elements,
                                             uint32_t entries) {
      TopKOnCuda(device, gradient, elements, entries);
    };
  }
  RequireOutputs(o.outputs);
  return Report(o.outputs, kSelectOnDeviceColumns,
                CompressionOnCuda(options, TableStream(o.outputs.json)));
}

int WireBenchOnDevice(const WireBenchOptions& o) {
  cuda::CudaBenchOptions options = DeviceOptionsOf(o);
  RefuseWith(o.device, "--set", o.set.has_value());
  RefuseWith(o.device, "--stochastic-rounding", o.stochastic);
  if (o.indices) RequireName("index codec", *o.indices, {"auto", "rice-blocks"});
  if (o.values) {
    RequireName("value codec", *o.values, {"fp32", "bf16", "int8", "int4"});
    options.values = {*o.values};
  }
  RequireOutputs(o.outputs);
  return Report(o.outputs, kWireOnDeviceColumns,
                DecodingOnCuda(options, TableStream(o.outputs.json)));
}

}  // namespace cddp
