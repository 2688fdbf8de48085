#include <map>
#include <string>

#include "bench/cuda/cuda_bench.h"
#include "cddp/cuda_compressor.h"
#include "core/cuda/device.h"
#include "core/cuda/frame_decoder.h"
#include "core/cuda/frame_encoder.h"
#include "core/cuda/selection.h"
#include "core/frame_layout.h"
#include "core/median.h"
#include "core/split_mix.h"

namespace cddp::cuda {
namespace {

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

// g <- keep * g + scale * noise, the noise normal (Box and Muller 1958).
__global__ void Drift(float* gradient, uint32_t count, uint64_t seed, float keep, float scale) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint64_t bits = SplitMix64(seed * kSplitMixGamma + SplitMix64(i));
  const float u = static_cast<float>((bits >> 40) + 1) * 0x1p-24f;
  const float v = static_cast<float>(bits & 0xffffff) * 0x1p-24f;
  gradient[i] = keep * gradient[i] + scale * sqrtf(-2 * logf(u)) * cospif(2 * v);
}

// Through the cache. The numbers are zero, which the compiler cannot know.
__global__ void ReadAll(uint4* numbers, size_t count) {
  uint32_t any = 0;
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const uint4 four = numbers[i];
    any |= four.x | four.y | four.z | four.w;
  }
  if (any != 0) numbers[0].x = any;
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
    const auto blocks = static_cast<unsigned>((size_t{count_} + 255) / 256);
    Drift<<<blocks, 256>>>(values_.data(), count_, ++seed_, keep, scale);
    Check(cudaGetLastError());
  }

  uint32_t count_;
  uint64_t seed_;
  DeviceArray<float> values_;
};

MemoryKind KindOf(const std::string& memory) {
  return memory == "none"  ? MemoryKind::kNone
         : memory == "dgc" ? MemoryKind::kDgc
                           : MemoryKind::kResidual;
}

int BytesPerElement(MemoryKind memory) {
  return memory == MemoryKind::kNone ? 4 : memory == MemoryKind::kDgc ? 20 : 12;
}

int Usable(int device) {
  Check(RequireCudaDevice(device));
  return device;
}

class Bench {
 public:
  explicit Bench(const CudaBenchOptions& options)
      : options_(options), use_(Usable(options.device)) {
    for (uint32_t count : options_.parameters) elements_ += count;
    int cache = 0;
    Check(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, options.device));
    Check(eviction_.MakeZero(4 * static_cast<size_t>(cache) / sizeof(uint4), nullptr));
    MeasureCopy();
  }

  Json About() const {
    cudaDeviceProp device;
    Check(cudaGetDeviceProperties(&device, options_.device));
    int driver = 0;
    Check(cudaDriverGetVersion(&driver));
    return {{"device", device.name},
            {"l2_bytes", device.l2CacheSize},
            {"multiprocessors", device.multiProcessorCount},
            {"cuda_runtime", CUDART_VERSION},
            {"cuda_driver", driver},
            {"parameters", options_.parameters.size()},
            {"elements", elements_},
            {"steps", options_.steps},
            {"copy_bytes_per_second", copy_rate_}};
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
    Gradient gradient(elements_, 3 * options_.seed + 2);
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
      EvictCache();
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
    const double selecting = MedianOf(select);
    const double encoding = MedianOf(encode);
    return {{"memory", memory},
            {"ratio", ratio},
            {"values", value_name},
            {"entries", selection.entries()},
            {"floor_us", floor},
            {"select_us_median", selecting},
            {"select_ratio_to_floor", selecting / floor},
            {"encode_us_median", encoding},
            {"cold_select_us_median", MedianOf(cold)},
            {"failed_thresholds", failed},
            {"frame_bytes", outcome.index_bytes + encoder.value_bytes()},
            {"topk_us_median", options_.peer ? Json(PeerOf(selection.entries())) : Json()}};
  }

  Json Decode(double ratio, const std::string& value_name) {
    CompressorOptions options{.ratio = ratio, .memory = {.name = "none"}};
    Check(ParseValueFormat(value_name, &options.format.values));
    std::unique_ptr<CudaCompressor> compressor;
    Check(CudaCompressor::Create(options, nullptr, &compressor));
    std::vector<BucketParameter> parameters;
    uint32_t offset = 0;
    for (size_t p = 0; p < options_.parameters.size(); ++p) {
      parameters.push_back({"p" + std::to_string(p), offset, options_.parameters[p]});
      offset += options_.parameters[p];
    }
    Gradient gradient(elements_, 3 * options_.seed + 3);
    std::vector<std::vector<std::byte>> frames(static_cast<size_t>(options_.frames));
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
      EvictCache();
      const double time = watch_.Microseconds([&] {
        Check(decoder.SumUploaded(dense.data(), static_cast<float>(frames.size()), nullptr));
      });
      bool good = false;
      bool finite = false;
      Check(decoder.Wait(nullptr, &good, &finite));
      if (!good) throw StatusError(StatusCode::kInternal, "good frames were refused");
      if (i >= options_.warmup) times.push_back(time);
    }
    return {{"ratio", ratio},
            {"values", value_name},
            {"frames", frames.size()},
            {"frame_bytes_mean", bytes / frames.size()},
            {"decode_us_median", MedianOf(times)}};
  }

 private:
  // The same for each memory and codec: timed once for a number of entries.
  double PeerOf(uint32_t entries) {
    const auto known = peer_.find(entries);
    if (known != peer_.end()) return known->second;
    Gradient gradient(elements_, 3 * options_.seed + 2);
    std::vector<double> times;
    for (int i = 0; i < options_.warmup + options_.steps; ++i) {
      gradient.Next();
      EvictCache();
      const double time =
          watch_.Microseconds([&] { options_.peer(gradient.data(), elements_, entries); });
      if (i >= options_.warmup) times.push_back(time);
    }
    return peer_[entries] = MedianOf(times);
  }

  // So that nothing of what is timed next is in the cache, nor anything that is still to be written
  // to memory.
  void EvictCache() {
    ReadAll<<<1024, 256>>>(eviction_.data(), eviction_.size());
    Check(cudaGetLastError());
  }

  // Of two arrays as large as the gradient.
  void MeasureCopy() {
    DeviceArray<float> from;
    DeviceArray<float> to;
    Check(from.MakeZero(elements_, nullptr));
    Check(to.MakeZero(elements_, nullptr));
    Gradient noise(elements_, 3 * options_.seed + 1);
    Check(
        cudaMemcpy(from.data(), noise.data(), elements_ * sizeof(float), cudaMemcpyDeviceToDevice));
    std::vector<double> times;
    for (int i = 0; i < options_.warmup + options_.steps; ++i) {
      EvictCache();
      const double time = watch_.Microseconds([&] {
        Check(cudaMemcpyAsync(to.data(), from.data(), elements_ * sizeof(float),
                              cudaMemcpyDeviceToDevice));
      });
      if (i >= options_.warmup) times.push_back(time);
    }
    copy_rate_ = 2.0 * sizeof(float) * elements_ / (MedianOf(times) * 1e-6);
  }

  std::vector<Parameter> ParametersOf(double ratio) {
    std::vector<Parameter> parameters;
    uint32_t offset = 0;
    for (const uint32_t count : options_.parameters) {
      parameters.push_back(
          {.offset = offset,
           .count = count,
           .k = count <= 1024 ? count : static_cast<uint32_t>(SelectionCount(count, ratio))});
      offset += count;
    }
    return parameters;
  }

  const CudaBenchOptions options_;
  const DeviceGuard use_;
  uint32_t elements_ = 0;
  DeviceArray<uint4> eviction_;
  double copy_rate_ = 0;
  std::map<uint32_t, double> peer_;  // microseconds, by entries
  Stopwatch watch_;
};

void PrintAbout(const Json& about, std::FILE* table) {
  std::fprintf(table,
               "%s: copies move %.2f TB/s (read and written)\n"
               "%zu parameter(s), %u elements, medians of %d steps, microseconds\n",
               about.at("device").get<std::string>().c_str(),
               about.at("copy_bytes_per_second").get<double>() / 1e12,
               about.at("parameters").get<size_t>(), about.at("elements").get<uint32_t>(),
               about.at("steps").get<int>());
}

}  // namespace

Json CompressionOnCuda(const CudaBenchOptions& options, std::FILE* table) {
  Bench bench(options);
  Json report = bench.About();
  PrintAbout(report, table);
  std::fprintf(table, "%-9s %6s %6s | %7s %7s %6s | %7s %7s | %6s %s%s\n", "memory", "ratio",
               "values", "floor", "select", "x", "encode", "both", "cold", "failed",
               options.peer ? " | at::topk" : "");
  for (const std::string& memory : options.memories) {
    for (const double ratio : options.ratios) {
      for (const std::string& values : options.values) {
        const Json row = bench.Compress(memory, ratio, values);
        const auto number = [&](const char* key) { return row.at(key).get<double>(); };
        std::fprintf(table, "%-9s %6g %6s | %7.1f %7.1f %6.2f | %7.1f %7.1f | %6.0f %6.0f",
                     memory.c_str(), ratio, values.c_str(), number("floor_us"),
                     number("select_us_median"), number("select_ratio_to_floor"),
                     number("encode_us_median"),
                     number("select_us_median") + number("encode_us_median"),
                     number("cold_select_us_median"), number("failed_thresholds"));
        if (options.peer) std::fprintf(table, " | %8.1f", number("topk_us_median"));
        std::fprintf(table, "\n");
        std::fflush(table);
        report["rows"].push_back(row);
      }
    }
  }
  return report;
}

Json DecodingOnCuda(const CudaBenchOptions& options, std::FILE* table) {
  Bench bench(options);
  Json report = bench.About();
  PrintAbout(report, table);
  std::fprintf(table, "%6s %6s %9s | %7s %7s of %d frames\n", "ratio", "values", "bytes", "encode",
               "sum", options.frames);
  for (const double ratio : options.ratios) {
    for (const std::string& values : options.values) {
      Json row = bench.Decode(ratio, values);
      row["encode_us_median"] = bench.Compress("residual", ratio, values).at("encode_us_median");
      std::fprintf(table, "%6g %6s %9zu | %7.1f %7.1f\n", ratio, values.c_str(),
                   row.at("frame_bytes_mean").get<size_t>(),
                   row.at("encode_us_median").get<double>(),
                   row.at("decode_us_median").get<double>());
      std::fflush(table);
      report["rows"].push_back(row);
    }
  }
  return report;
}

}  // namespace cddp::cuda
