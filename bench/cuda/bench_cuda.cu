// bench_cuda: selection, encoding and decoding on the GPU, against the time that the
// memory traffic alone takes.
//
// Gradients are normal with variance 1 and drift from step to step, made anew before each
// (larger than the L2 cache). Times are of CUDA events around the launches of one step,
// medians. The floor is the rate of a copy from device to device in the same run, times
// the bytes that a step must move: 12 per element with `residual` (gradient and memory
// read, memory written), 20 with `dgc`, 4 with `none`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cddp/cuda_compressor.h"
#include "core/cuda/device.h"
#include "core/cuda/frame_decoder.h"
#include "core/cuda/frame_encoder.h"
#include "core/cuda/selection.h"
#include "core/frame_layout.h"

namespace cddp::cuda {
namespace {

using Json = nlohmann::ordered_json;

void Check(const Status& status) { ThrowIfError(status); }
void Check(cudaError_t error) { Check(StatusOf(error, "measuring")); }

// An event before and one after what is timed.
class Stopwatch {
 public:
  Stopwatch() {
    Check(cudaEventCreate(&start_));
    Check(cudaEventCreate(&stop_));
  }
  ~Stopwatch() {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  Stopwatch(const Stopwatch&) = delete;

  template <typename Work>
  double Microseconds(Work work) {
    Check(cudaEventRecord(start_));
    work();
    Check(cudaEventRecord(stop_));
    Check(cudaEventSynchronize(stop_));
    float ms = 0;
    Check(cudaEventElapsedTime(&ms, start_, stop_));
    return 1000.0 * ms;
  }

 private:
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

__device__ uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// g <- keep * g + scale * noise, the noise normal (Box and Muller 1958).
__global__ void Drift(float* gradient, uint32_t count, uint64_t seed, float keep, float scale) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint64_t bits = Mix(seed * 0x9e3779b97f4a7c15ull + Mix(i));
  const float u = static_cast<float>((bits >> 40) + 1) * 0x1p-24f;
  const float v = static_cast<float>(bits & 0xffffff) * 0x1p-24f;
  gradient[i] = keep * gradient[i] + scale * sqrtf(-2 * logf(u)) * cospif(2 * v);
}

class Gradient {
 public:
  Gradient(uint32_t count, uint64_t seed) : count_(count), seed_(seed << 32) {
    Check(values_.MakeZero(count, nullptr));
    Step(0.0f, 1.0f);
  }
  void Next() { Step(0.9f, 0.436f); }
  float* data() const { return values_.data(); }

 private:
  void Step(float keep, float scale) {
    Drift<<<(count_ + 255) / 256, 256>>>(values_.data(), count_, ++seed_, keep, scale);
    Check(cudaGetLastError());
  }

  uint32_t count_;
  uint64_t seed_;
  DeviceArray<float> values_;
};

struct Options {
  std::string shapes;
  uint32_t elements = 25'557'032;
  int steps = 40;
  int warmup = 30;  // memories fill, and thresholds rise fast
  int ranks = 8;
  std::vector<double> ratios = {0.01, 0.001, 0.1};
  std::vector<std::string> memories = {"residual", "dgc", "none"};
  std::vector<std::string> values = {"fp32", "int4"};
  std::string json;
};

// Elements of each parameter.
std::vector<uint32_t> CountsOf(const Options& options) {
  if (options.shapes.empty()) return {options.elements};
  std::ifstream in(options.shapes);
  if (!in) throw StatusError(StatusCode::kUnavailable, "cannot read " + options.shapes);
  std::vector<uint32_t> counts;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    uint32_t count = 1;
    for (uint32_t size; words >> size;) count *= size;
    counts.push_back(count);
  }
  return counts;
}

MemoryKind KindOf(const std::string& memory) {
  return memory == "none"  ? MemoryKind::kNone
         : memory == "dgc" ? MemoryKind::kDgc
                           : MemoryKind::kResidual;
}

int BytesPerElement(MemoryKind memory) {
  return memory == MemoryKind::kNone ? 4 : memory == MemoryKind::kDgc ? 20 : 12;
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), counts_(CountsOf(options)) {
    for (uint32_t count : counts_) elements_ += count;
  }

  Json Run() {
    MeasureCopy();
    Json report;
    cudaDeviceProp device;
    Check(cudaGetDeviceProperties(&device, 0));
    int driver = 0;
    Check(cudaDriverGetVersion(&driver));
    report["device"] = device.name;
    report["l2_bytes"] = device.l2CacheSize;
    report["multiprocessors"] = device.multiProcessorCount;
    report["cuda_runtime"] = CUDART_VERSION;
    report["cuda_driver"] = driver;
    report["shapes"] = options_.shapes.empty() ? "one parameter" : options_.shapes;
    report["parameters"] = counts_.size();
    report["elements"] = elements_;
    report["steps"] = options_.steps;
    report["copy_bytes_per_second"] = copy_rate_;
    std::printf("%s: copies move %.2f TB/s (read and written)\n", device.name, copy_rate_ / 1e12);
    std::printf("%zu parameters, %u elements, medians of %d steps, microseconds\n", counts_.size(),
                elements_, options_.steps);
    std::printf("%-9s %6s %5s | %7s %7s %6s | %7s %7s | %6s %s\n", "memory", "ratio", "values",
                "floor", "select", "x", "encode", "both", "cold", "failed");
    for (const std::string& memory : options_.memories) {
      for (const double ratio : options_.ratios) {
        for (const std::string& values : options_.values) {
          report["compress"].push_back(Compress(memory, ratio, values));
        }
      }
    }
    std::printf("\n%6s %6s | decoding %d frames into the gradient\n", "ratio", "values",
                options_.ranks);
    for (const double ratio : options_.ratios) {
      for (const std::string& values : options_.values) {
        report["decode"].push_back(Decode(ratio, values));
      }
    }
    return report;
  }

 private:
  // Of two arrays as large as the gradient.
  void MeasureCopy() {
    DeviceArray<float> from;
    DeviceArray<float> to;
    Check(from.MakeZero(elements_, nullptr));
    Check(to.MakeZero(elements_, nullptr));
    Gradient noise(elements_, 1);
    Check(
        cudaMemcpy(from.data(), noise.data(), elements_ * sizeof(float), cudaMemcpyDeviceToDevice));
    std::vector<double> times;
    for (int i = 0; i < options_.warmup + options_.steps; ++i) {
      noise.Next();  // so that neither is in the cache
      const double time = watch_.Microseconds([&] {
        Check(cudaMemcpyAsync(to.data(), from.data(), elements_ * sizeof(float),
                              cudaMemcpyDeviceToDevice));
      });
      if (i >= options_.warmup) times.push_back(time);
    }
    copy_rate_ = 2.0 * sizeof(float) * elements_ / (Median(times) * 1e-6);
  }

  std::vector<Parameter> ParametersOf(double ratio) {
    std::vector<Parameter> parameters;
    uint32_t offset = 0;
    for (const uint32_t count : counts_) {
      parameters.push_back(
          {.offset = offset,
           .count = count,
           .k = count <= 1024 ? count : static_cast<uint32_t>(SelectionCount(count, ratio))});
      offset += count;
    }
    return parameters;
  }

  Json Compress(const std::string& memory, double ratio, const std::string& value_name) {
    ValueFormat values;
    Check(ParseValueFormat(value_name, &values));
    const MemoryKind kind = KindOf(memory);
    DeviceArray<float> residual[2];
    DeviceArray<float> velocity[2];
    for (int side : {0, 1}) {
      if (kind != MemoryKind::kNone) Check(residual[side].MakeZero(elements_, nullptr));
      if (kind == MemoryKind::kDgc) Check(velocity[side].MakeZero(elements_, nullptr));
    }
    BucketSelection selection;
    Check(selection.Prepare(kind, {.masking = false}, ParametersOf(ratio), nullptr));
    FrameEncoder encoder;
    Check(encoder.Prepare(selection, values, nullptr));
    Gradient gradient(elements_, 2);
    std::vector<double> select, encode, cold;
    uint64_t failed = 0;
    Outcome outcome{};
    int side = 0;
    const auto states = [&] {
      return States{residual[side].data(), residual[1 - side].data(), velocity[side].data(),
                    velocity[1 - side].data()};
    };
    const auto wait = [&] {
      Check(cudaMemcpy(&outcome, selection.outcome(), sizeof(outcome), cudaMemcpyDeviceToHost));
    };
    const auto resolve = [&](Thresholds thresholds) {
      return watch_.Microseconds([&] {
        Check(selection.ResolveThresholds(thresholds, gradient.data(), states(), nullptr));
        Check(selection.Select(thresholds, gradient.data(), states(), nullptr));
      });
    };
    for (int i = 0; i < options_.warmup + options_.steps; ++i) {
      gradient.Next();
      // Each fourth step without a threshold.
      const bool exact = i % 4 == 0;
      double time;
      if (exact) {
        time = resolve(Thresholds::kExact);
      } else {
        time = watch_.Microseconds([&] {
          Check(selection.Select(Thresholds::kForecast, gradient.data(), states(), nullptr));
        });
        wait();
        if (i >= options_.warmup) failed += outcome.failed_parameters;
        if (outcome.failed_parameters > 0) time += resolve(Thresholds::kOfFailed);
      }
      const double encoding = watch_.Microseconds(
          [&] { Check(encoder.Encode(selection, states().residual_next, false, 0, nullptr)); });
      wait();
      side = 1 - side;
      if (i < options_.warmup) continue;
      (exact ? cold : select).push_back(time);
      encode.push_back(encoding);
    }
    const double floor = BytesPerElement(kind) * double{1.0} * elements_ / copy_rate_ * 1e6;
    const double selecting = Median(select);
    const double encoding = Median(encode);
    std::printf("%-9s %6g %5s | %7.1f %7.1f %6.2f | %7.1f %7.1f | %6.0f %llu\n", memory.c_str(),
                ratio, value_name.c_str(), floor, selecting, selecting / floor, encoding,
                selecting + encoding, Median(cold), static_cast<unsigned long long>(failed));
    std::fflush(stdout);
    return {{"memory", memory},
            {"ratio", ratio},
            {"values", value_name},
            {"entries", selection.entries()},
            {"floor_us", floor},
            {"select_us_median", selecting},
            {"select_ratio_to_floor", selecting / floor},
            {"encode_us_median", encoding},
            {"cold_select_us_median", Median(cold)},
            {"failed_thresholds", failed},
            {"frame_bytes", outcome.index_bytes + encoder.value_bytes()}};
  }

  Json Decode(double ratio, const std::string& value_name) {
    CompressorOptions options{.ratio = ratio, .memory = {.name = "none"}};
    Check(ParseValueFormat(value_name, &options.format.values));
    std::unique_ptr<CudaCompressor> compressor;
    Check(CudaCompressor::Create(options, nullptr, &compressor));
    std::vector<BucketParameter> parameters;
    uint32_t offset = 0;
    for (size_t p = 0; p < counts_.size(); ++p) {
      parameters.push_back({"p" + std::to_string(p), offset, counts_[p]});
      offset += counts_[p];
    }
    Gradient gradient(elements_, 3);
    std::vector<std::vector<std::byte>> frames(static_cast<size_t>(options_.ranks));
    std::vector<FrameView> views(frames.size());
    size_t bytes = 0;
    for (uint32_t rank = 0; rank < frames.size(); ++rank) {
      gradient.Next();
      Check(compressor->Start({1, 0, {gradient.data(), elements_}, parameters}, rank));
      Check(compressor->Finish(&frames[rank]));
      Check(ReadFrameLayout(frames[rank], {1, 0, rank, elements_}, elements_, &views[rank]));
      bytes += frames[rank].size();
    }
    DeviceArray<float> dense;
    Check(dense.Make(elements_));
    FrameDecoder decoder;
    Check(decoder.Upload(views, nullptr));
    std::vector<double> times;
    for (int i = 0; i < options_.warmup + options_.steps; ++i) {
      gradient.Next();
      const double time =
          watch_.Microseconds([&] { Check(decoder.SumUploaded(dense.data(), nullptr)); });
      bool good = false;
      Check(decoder.Wait(nullptr, &good));
      if (!good) throw StatusError(StatusCode::kInternal, "good frames were refused");
      if (i >= options_.warmup) times.push_back(time);
    }
    std::printf("%6g %6s | %8.1f\n", ratio, value_name.c_str(), Median(times));
    std::fflush(stdout);
    return {{"ratio", ratio},
            {"values", value_name},
            {"frames", frames.size()},
            {"frame_bytes_mean", bytes / frames.size()},
            {"decode_us_median", Median(times)}};
  }

 private:
  const Options options_;
  const std::vector<uint32_t> counts_;
  uint32_t elements_ = 0;
  double copy_rate_ = 0;
  Stopwatch watch_;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Selection, encoding and decoding on a GPU, against the time of their memory traffic");
  app.add_option(
      "--shapes", options.shapes,
      "File with a parameter a line, its name and sizes (cddp bench sync --print-shapes); "
      "default: one parameter of --elements");
  app.add_option("--elements", options.elements, "Of the one parameter")->capture_default_str();
  app.add_option("--steps", options.steps, "Timed")
      ->check(CLI::Range(8, 100000))
      ->capture_default_str();
  app.add_option("--ratios", options.ratios, "Shares that are sent")->delimiter(',');
  app.add_option("--memories", options.memories, "none, residual, dgc")
      ->delimiter(',')
      ->check(CLI::IsMember({"none", "residual", "dgc"}));
  app.add_option("--values", options.values, "fp32, bf16, int8, int4")
      ->delimiter(',')
      ->check(CLI::IsMember({"fp32", "bf16", "int8", "int4"}));
  app.add_option("--frames", options.ranks, "That are decoded")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--json", options.json, "File for the numbers");
  CLI11_PARSE(app, argc, argv);
  try {
    Status problem;
    if (CudaDeviceCount(&problem) == 0) throw StatusError(problem);
    const Json report = Bench(options).Run();
    if (!options.json.empty()) {
      std::ofstream out(options.json);
      out << report.dump(1) << "\n";
      if (!out.flush()) {
        throw StatusError(StatusCode::kUnavailable, "cannot write " + options.json);
      }
    }
  } catch (const StatusError& error) {
    std::cerr << "bench_cuda: " << error.what() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace cddp::cuda

int main(int argc, char** argv) { return cddp::cuda::Main(argc, argv); }
