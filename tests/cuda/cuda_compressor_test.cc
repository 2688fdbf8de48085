// The GPU's compressor against the CPU's: the same frames, memories and sums, bit for bit. Longer
// than other files: all of it shares the two of one rank, and runs in one go on a GPU.
#include "cddp/cuda_compressor.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "cddp/compressor.h"
#include "core/cuda/device.h"
#include "core/frame_layout.h"
#include "tests/add_entries.h"
#include "tests/core/frame_bytes.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

using cuda::DeviceArray;
using cuda::StatusOf;

// Without a GPU these tests fail: what did not run has not passed.
class CudaCompressorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status device = RequireCudaDevice(0);
    ASSERT_TRUE(device.ok()) << device.message();
  }
};

CompressorOptions OptionsOf(const std::string& memory, ValueFormat values, double ratio = 0.01) {
  return {.ratio = ratio,
          .memory = {.name = memory, .momentum = 0.9},
          .format = {.indices = IndexFormat::kRiceBlocks, .values = values}};
}

// A bucket whose gradient is in device memory as well.
class DeviceBucket {
 public:
  explicit DeviceBucket(OwnedBucket* bucket) : bucket_(*bucket) {
    EXPECT_TRUE(gradient_.Make(bucket->values.size() + 1).ok());
  }
  Bucket At(uint64_t step) {
    EXPECT_EQ(cudaMemcpy(gradient_.data(), bucket_.values.data(),
                         bucket_.values.size() * sizeof(float), cudaMemcpyHostToDevice),
              cudaSuccess);
    return {step, bucket_.index, {gradient_.data(), bucket_.values.size()}, bucket_.parameters};
  }

 private:
  OwnedBucket& bucket_;
  DeviceArray<float> gradient_;
};

// One rank, on both.
class Twins {
 public:
  explicit Twins(const CompressorOptions& options, cudaStream_t stream = nullptr) {
    EXPECT_TRUE(Compressor::Create(options, &cpu).ok());
    const Status status = CudaCompressor::Create(options, stream, &gpu);
    EXPECT_TRUE(status.ok()) << status.message();
  }

  // True when both frames are the same; *frame is it.
  bool Compress(OwnedBucket* bucket, DeviceBucket* device, uint64_t step, FrameBytes* frame) {
    FrameBytes want;
    const Status of_cpu = cpu->Compress(bucket->At(step), 3, &want);
    EXPECT_TRUE(of_cpu.ok()) << of_cpu.message();
    Status status = gpu->Start(device->At(step), 3);
    EXPECT_TRUE(status.ok()) << status.message();
    status = gpu->Finish(frame);
    EXPECT_TRUE(status.ok()) << status.message();
    return *frame == want;
  }

  bool SameMemory() const {
    CompressorState state;
    EXPECT_TRUE(gpu->Save(&state).ok());
    const MemoryState want = cpu->memory().Save();
    if (state.memory.size() != want.size()) return false;
    for (const auto& [name, values] : want) {
      if (!state.memory.contains(name) || !SameBits(state.memory.at(name), values)) return false;
    }
    return true;
  }

  void EndStep(bool commit) {
    cpu->EndStep(commit);
    gpu->EndStep(commit);
  }

  std::unique_ptr<Compressor> cpu;
  std::unique_ptr<CudaCompressor> gpu;
};

const std::vector<uint32_t> kCounts = {1,    0,     3,    64,     1000,  1024, 1025, 4093,
                                       4096, 10001, 4099, 300000, 65537, 2,    5000};

struct Case {
  std::string memory;
  ValueFormat values;
  double ratio;
  bool nesterov = false;
  bool masking = false;
  bool stochastic = false;
};

class SameAsCpu : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Status device = RequireCudaDevice(0);
    ASSERT_TRUE(device.ok()) << device.message();
  }
};

TEST_P(SameAsCpu, Steps) {
  const Case& c = GetParam();
  CompressorOptions options = OptionsOf(c.memory, c.values, c.ratio);
  options.memory.nesterov = c.nesterov;
  options.memory.momentum_masking = c.masking;
  options.format.stochastic = c.stochastic;
  options.format.seed = 5;
  Twins twins(options);
  OwnedBucket bucket(7, kCounts);
  DeviceBucket device(&bucket);
  for (uint64_t step = 0; step < 12; ++step) {
    bucket.values =
        ValuesOf({Pattern::kUniform, static_cast<uint32_t>(step), bucket.values.size()});
    // In step 5 much changes: thresholds of the step before do not fit.
    if (step == 5) {
      for (float& value : bucket.values) value *= 100;
    }
    const uint64_t second_sweeps = twins.gpu->statistics().second_sweeps;
    FrameBytes frame;
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    // Without thresholds yet, nothing fails.
    if (step == 0) {
      EXPECT_EQ(twins.gpu->statistics().second_sweeps, 0u);
    }
    if (step == 5 && c.ratio < 1) {
      EXPECT_GT(twins.gpu->statistics().second_sweeps, second_sweeps);
    }
    twins.EndStep(/*commit=*/step % 4 != 2);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SameAsCpu,
    ::testing::Values(
        Case{"residual", ValueFormat::kFp32, 0.01}, Case{"residual", ValueFormat::kInt4, 0.01},
        Case{"residual", ValueFormat::kInt8, 0.1}, Case{"residual", ValueFormat::kBf16, 0.001},
        Case{"residual", ValueFormat::kInt4, 0.01, false, false, true},
        Case{"none", ValueFormat::kInt4, 0.01}, Case{"none", ValueFormat::kFp32, 1.0},
        Case{"dgc", ValueFormat::kInt4, 0.01}, Case{"dgc", ValueFormat::kFp32, 0.01, false, true},
        Case{"dgc", ValueFormat::kInt8, 0.003, true, true, true},
        Case{"dgc", ValueFormat::kInt4, 1.0, true}));

// Every pattern of values, ties, zeros, denormals and overflows among them, on a sequence of
// steps whose values have nothing to do with each other.
TEST_F(CudaCompressorTest, AnyValues) {
  for (const char* memory : {"none", "residual", "dgc"}) {
    for (const ValueFormat values : {ValueFormat::kFp32, ValueFormat::kInt4}) {
      Twins twins(OptionsOf(memory, values, 0.02));
      OwnedBucket bucket(1, {5, 20000, 1024, 3, 9999});
      DeviceBucket device(&bucket);
      uint64_t step = 0;
      for (uint32_t seed = 0; seed < 4; ++seed) {
        for (int p = 0; p <= static_cast<int>(Pattern::kRawFinite); ++p, ++step) {
          bucket.values = ValuesOf({static_cast<Pattern>(p), seed, bucket.values.size()});
          FrameBytes frame;
          ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << memory << " " << p;
          // Sums of huge values may overflow: both then say so and void the step.
          twins.EndStep(std::to_integer<int>(frame[7]) == 0);
          ASSERT_TRUE(twins.SameMemory()) << memory << " " << p;
        }
      }
    }
  }
}

TEST_F(CudaCompressorTest, NonFiniteGradientsLeaveNoTrace) {
  Twins twins(OptionsOf("dgc", ValueFormat::kInt4));
  OwnedBucket bucket(0, {50, 5000});
  DeviceBucket device(&bucket);
  FrameBytes frame;
  for (uint64_t step = 0; step < 6; ++step) {
    bucket.values = ValuesOf({Pattern::kUniform, 100 + static_cast<uint32_t>(step), 5050});
    const bool bad = step % 2 == 1;
    if (bad) {
      bucket.values[step == 1 ? 7 : 4000] = step == 3 ? std::numeric_limits<float>::quiet_NaN()
                                                      : std::numeric_limits<float>::infinity();
    }
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    EXPECT_EQ(std::to_integer<int>(frame[7]), bad ? 1 : 0);
    twins.EndStep(!bad);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
}

// DDP regroups its buckets after the first step: memories follow their parameters.
TEST_F(CudaCompressorTest, RegroupedBuckets) {
  Twins twins(OptionsOf("dgc", ValueFormat::kInt4));
  OwnedBucket all(0, {4001, 3, 9000, 1030});
  DeviceBucket device_all(&all);
  OwnedBucket first(0, {});
  OwnedBucket second(1, {});
  first.parameters = {all.parameters[3], all.parameters[1]};
  second.parameters = {all.parameters[2], all.parameters[0]};
  for (OwnedBucket* bucket : {&first, &second}) {
    uint32_t offset = 0;
    for (BucketParameter& parameter : bucket->parameters) {
      parameter.offset = offset;
      offset += parameter.count;
    }
    bucket->values.resize(offset);
  }
  DeviceBucket device_first(&first);
  DeviceBucket device_second(&second);
  FrameBytes frame;
  for (uint64_t step = 0; step < 9; ++step) {
    const auto fill = [&](OwnedBucket* bucket) {
      bucket->values =
          ValuesOf({Pattern::kUniform, static_cast<uint32_t>(10 * step), bucket->values.size()});
    };
    if (step % 3 == 0) {
      fill(&all);
      ASSERT_TRUE(twins.Compress(&all, &device_all, step, &frame)) << step;
    } else {
      fill(&first);
      fill(&second);
      ASSERT_TRUE(twins.Compress(&first, &device_first, step, &frame)) << step;
      ASSERT_TRUE(twins.Compress(&second, &device_second, step, &frame)) << step;
    }
    twins.EndStep(true);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
}

TEST_F(CudaCompressorTest, GoesOnFromSavedState) {
  const CompressorOptions options = OptionsOf("dgc", ValueFormat::kInt4);
  Twins twins(options);
  OwnedBucket bucket(0, {4001, 77});
  DeviceBucket device(&bucket);
  FrameBytes frame;
  const auto fill = [&](uint64_t step) {
    bucket.values = ValuesOf({Pattern::kUniform, static_cast<uint32_t>(step), 4078});
  };
  for (uint64_t step = 0; step < 3; ++step) {
    fill(step);
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame));
    twins.EndStep(true);
  }
  CompressorState state;
  ASSERT_TRUE(twins.gpu->Save(&state).ok());
  ASSERT_TRUE(CudaCompressor::Create(options, nullptr, &twins.gpu).ok());
  ASSERT_TRUE(twins.gpu->Load(state).ok());
  for (uint64_t step = 3; step < 6; ++step) {
    fill(step);
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    twins.EndStep(true);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
  // What does not fit is refused, and nothing changes.
  state.memory.begin()->second.pop_back();
  EXPECT_EQ(twins.gpu->Load(state).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(twins.SameMemory());
}

// The frames of `ranks` ranks of one bucket.
std::vector<FrameBytes> FramesOf(const CompressorOptions& options, OwnedBucket* bucket,
                                 uint32_t ranks, std::vector<FrameId>* ids) {
  std::vector<FrameBytes> frames(ranks);
  ids->clear();
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    std::unique_ptr<Compressor> compressor;
    EXPECT_TRUE(Compressor::Create(options, &compressor).ok());
    bucket->values = ValuesOf({Pattern::kUniform, 50 + rank, bucket->values.size()});
    EXPECT_TRUE(compressor->Compress(bucket->At(4), rank, &frames[rank]).ok());
    ids->push_back({.step = 4,
                    .bucket = bucket->index,
                    .rank = rank,
                    .elements = static_cast<uint32_t>(bucket->values.size())});
  }
  return frames;
}

std::vector<std::span<const std::byte>> Spans(const std::vector<FrameBytes>& frames) {
  return {frames.begin(), frames.end()};
}

Bucket In(const DeviceArray<float>& dense, const FrameId& id) {
  static const std::vector<BucketParameter> parameters(64);  // as many as frames have runs
  return {.step = id.step,
          .index = id.bucket,
          .values = {dense.data(), id.elements},
          .parameters = parameters};
}

std::vector<float> ToHost(const DeviceArray<float>& array, size_t size) {
  std::vector<float> values(size);
  EXPECT_EQ(cudaMemcpy(values.data(), array.data(), size * sizeof(float), cudaMemcpyDeviceToHost),
            cudaSuccess);
  return values;
}

TEST_F(CudaCompressorTest, DecodesAsTheCpuDoes) {
  for (const ValueFormat values :
       {ValueFormat::kFp32, ValueFormat::kBf16, ValueFormat::kInt8, ValueFormat::kInt4}) {
    for (const double ratio : {0.001, 0.05, 1.0}) {
      const CompressorOptions options = OptionsOf("none", values, ratio);
      OwnedBucket bucket(2, kCounts);
      std::vector<FrameId> ids;
      const std::vector<FrameBytes> frames =
          FramesOf(options, &bucket, ratio < 0.01 ? 40 : 5, &ids);
      std::vector<float> want(bucket.values.size(), 0.0f);
      for (size_t f = 0; f < frames.size(); ++f) {
        FrameView view;
        Selection sent;
        ASSERT_TRUE(DecodeFrame(frames[f], ids[f], want.size(), &view, &sent).ok());
        AddEntries(sent, &want);
      }
      for (float& value : want) value /= static_cast<float>(frames.size());
      std::unique_ptr<CudaCompressor> gpu;
      ASSERT_TRUE(CudaCompressor::Create(options, nullptr, &gpu).ok());
      DeviceArray<float> dense;
      ASSERT_TRUE(dense.Make(want.size()).ok());
      ASSERT_EQ(cudaMemset(dense.data(), 0xff, want.size() * sizeof(float)), cudaSuccess);
      bool finite = true;
      const Status status = gpu->Mean(Spans(frames), ids, want.size(), In(dense, ids[0]), &finite);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_TRUE(SameBits(ToHost(dense, want.size()), want));
      EXPECT_TRUE(finite);
    }
  }
}

// Bytes of peers that are not what an encoder writes: refused as on the CPU, nothing outside
// the gradient is written (compute-sanitizer would see it).
TEST_F(CudaCompressorTest, CorruptFrames) {
  RandomBits bits(9);
  int refused = 0;
  for (const ValueFormat values :
       {ValueFormat::kFp32, ValueFormat::kBf16, ValueFormat::kInt8, ValueFormat::kInt4}) {
    const CompressorOptions options = OptionsOf("none", values, 0.05);
    OwnedBucket bucket(2, {3000, 9, 1300});
    std::vector<FrameId> ids;
    std::vector<FrameBytes> frames = FramesOf(options, &bucket, 1, &ids);
    std::unique_ptr<CudaCompressor> gpu;
    ASSERT_TRUE(CudaCompressor::Create(options, nullptr, &gpu).ok());
    DeviceArray<float> dense;
    const size_t elements = bucket.values.size();
    for (int i = 0; i < 400; ++i) {
      FrameBytes altered = frames[0];
      for (uint64_t n = 0; n <= bits.Below(3); ++n) {
        altered[40 + bits.Below(altered.size() - 40)] ^= std::byte{1} << bits.Below(8);
      }
      Seal(&altered);
      FrameView view;
      Selection sent;
      const bool good = DecodeFrame(altered, ids[0], elements, &view, &sent).ok();
      ASSERT_TRUE(dense.Make(elements).ok());
      bool finite = true;
      const Status status = gpu->Mean(Spans({altered}), ids, elements, In(dense, ids[0]), &finite);
      EXPECT_EQ(status.ok(), good) << i << ": " << status.message();
      refused += !good;
      if (!good || !status.ok()) {
        EXPECT_EQ(status.code(), StatusCode::kCorrupt);
        continue;
      }
      std::vector<float> want(elements, 0.0f);
      AddEntries(sent, &want);
      EXPECT_TRUE(SameBits(ToHost(dense, elements), want));
    }
  }
  EXPECT_GT(refused, 300);
}

// Lengths of blocks that add up to more than 32 bits, so that some end where they should.
TEST_F(CudaCompressorTest, HostileLengthsOfBlocks) {
  constexpr uint32_t kRuns = 65600;
  const FrameId id{.step = 1, .elements = kRuns};
  std::vector<size_t> run_ends(kRuns);
  for (size_t r = 0; r < kRuns; ++r) run_ends[r] = r + 1;
  const std::vector<std::byte> coded(2 * kRuns + 5 * kRuns, std::byte{0xff});
  const FrameFormat format{.indices = IndexFormat::kRiceBlocks, .values = ValueFormat::kInt4};
  FrameBytes frame;
  AssembleFrame(format, id, run_ends, coded, &frame);
  std::unique_ptr<CudaCompressor> gpu;
  ASSERT_TRUE(CudaCompressor::Create(OptionsOf("none", format.values), nullptr, &gpu).ok());
  DeviceArray<float> dense;
  ASSERT_TRUE(dense.Make(kRuns).ok());
  bool finite = true;
  const Status status = gpu->Mean(Spans({frame}), {&id, 1}, kRuns, In(dense, id), &finite);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  // Bytes behind a frame without entries.
  AssembleFrame(format, id, {}, std::vector<std::byte>(2), &frame);
  EXPECT_EQ(gpu->Mean(Spans({frame}), {&id, 1}, kRuns, In(dense, id), &finite).code(),
            StatusCode::kCorrupt);
}

TEST_F(CudaCompressorTest, TheFrameThatIsBadIsNamed) {
  const CompressorOptions options = OptionsOf("none", ValueFormat::kInt4, 0.05);
  OwnedBucket bucket(2, {3000});
  std::vector<FrameId> ids;
  std::vector<FrameBytes> frames = FramesOf(options, &bucket, 40, &ids);
  // Behind the header and the number and length of the one run: the first block's length.
  frames[39][40 + 3 + 1] ^= std::byte{0x40};
  Seal(&frames[39]);
  std::unique_ptr<CudaCompressor> gpu;
  ASSERT_TRUE(CudaCompressor::Create(options, nullptr, &gpu).ok());
  DeviceArray<float> dense;
  ASSERT_TRUE(dense.Make(3000).ok());
  bool finite = true;
  const Status status = gpu->Mean(Spans(frames), ids, 3000, In(dense, ids[0]), &finite);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_NE(status.message().find("rank 39"), std::string::npos) << status.message();
}

TEST_F(CudaCompressorTest, ASenderThatIsNotFiniteIsSeen) {
  const CompressorOptions options = OptionsOf("none", ValueFormat::kInt4, 0.05);
  OwnedBucket bucket(2, {3000});
  std::vector<FrameId> ids;
  std::vector<FrameBytes> frames = FramesOf(options, &bucket, 2, &ids);
  Selection none;
  ASSERT_TRUE(EncodeFrame(options.format, ids[1], {}, /*non_finite=*/true, &none, &frames[1]).ok());
  std::unique_ptr<CudaCompressor> gpu;
  ASSERT_TRUE(CudaCompressor::Create(options, nullptr, &gpu).ok());
  DeviceArray<float> dense;
  ASSERT_TRUE(dense.Make(3000).ok());
  bool finite = true;
  ASSERT_TRUE(gpu->Mean(Spans(frames), ids, 3000, In(dense, ids[0]), &finite).ok());
  EXPECT_FALSE(finite);
}

// The mean of two ranks as the CPU computes it; where it overflows, or a sender is not finite,
// all is NaN.
TEST_F(CudaCompressorTest, MeanIsDividedAndChecked) {
  const CompressorOptions options = OptionsOf("none", ValueFormat::kFp32, 0.05);
  OwnedBucket bucket(2, {3000, 5001});
  DeviceBucket device(&bucket);
  std::vector<FrameId> ids;
  std::vector<FrameBytes> frames = FramesOf(options, &bucket, 2, &ids);
  std::unique_ptr<CudaCompressor> gpu;
  ASSERT_TRUE(CudaCompressor::CreateOn(0, options, &gpu).ok());
  const Bucket at = device.At(4);
  std::vector<float> values(at.values.size());
  const auto mean = [&](bool* finite) {
    const Status status = gpu->Mean(Spans(frames), ids, 8001, at, finite);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(
        cudaMemcpy(values.data(), at.values.data(), at.values.size_bytes(), cudaMemcpyDeviceToHost),
        cudaSuccess);
  };
  std::vector<float> want(at.values.size(), 0.0f);
  for (size_t f = 0; f < frames.size(); ++f) {
    FrameView view;
    Selection sent;
    ASSERT_TRUE(DecodeFrame(frames[f], ids[f], 8001, &view, &sent).ok());
    AddEntries(sent, &want);
  }
  for (float& value : want) value /= 2.0f;
  bool finite = true;
  mean(&finite);
  EXPECT_TRUE(finite);
  EXPECT_TRUE(SameBits(values, want));

  Selection largest{.indices = {7}, .values = {std::numeric_limits<float>::max()}};
  for (size_t f = 0; f < frames.size(); ++f) {
    const std::vector<size_t> run_ends{1, 1};
    ASSERT_TRUE(EncodeFrame({.indices = IndexFormat::kRiceBlocks}, ids[f], run_ends, false,
                            &largest, &frames[f])
                    .ok());
  }
  mean(&finite);
  EXPECT_FALSE(finite);
  for (const float value : values) ASSERT_TRUE(std::isnan(value));
}

// With fewer entries, and more again.
TEST_F(CudaCompressorTest, FollowsTheRatio) {
  Twins twins(OptionsOf("residual", ValueFormat::kInt4));
  OwnedBucket bucket(0, {4001, 77, 20000});
  DeviceBucket device(&bucket);
  FrameBytes frame;
  for (uint64_t step = 0; step < 9; ++step) {
    const double ratio = step < 3 ? 0.01 : step < 6 ? 0.001 : 0.25;
    ASSERT_TRUE(twins.cpu->SetRatio(ratio).ok());
    ASSERT_TRUE(twins.gpu->SetRatio(ratio).ok());
    bucket.values = ValuesOf({Pattern::kUniform, static_cast<uint32_t>(step), 24078});
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    twins.EndStep(true);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
  EXPECT_EQ(twins.gpu->statistics().entries, twins.cpu->statistics().entries);
  EXPECT_EQ(twins.gpu->statistics().selections, twins.cpu->statistics().selections);
}

// More ties than candidates have room for, in more tiles than a block of threads looks at.
TEST_F(CudaCompressorTest, ManyTies) {
  Twins twins(OptionsOf("residual", ValueFormat::kFp32));
  OwnedBucket bucket(0, {77, 2'500'001});
  DeviceBucket device(&bucket);
  for (uint64_t step = 0; step < 3; ++step) {
    for (size_t i = 0; i < bucket.values.size(); ++i) {
      bucket.values[i] = i % 1000 == 0 ? -4.0f : step == 2 ? 0.0f : 1.0f;
    }
    FrameBytes frame;
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    twins.EndStep(true);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
}

// Where a tile's entries go follows from all tiles before it, more than a block has threads for.
TEST_F(CudaCompressorTest, ManyTiles) {
  Twins twins(OptionsOf("residual", ValueFormat::kInt4));
  OwnedBucket bucket(0, {5, 18'000'000, 70'000});
  DeviceBucket device(&bucket);
  for (uint64_t step = 0; step < 3; ++step) {
    bucket.values =
        ValuesOf({Pattern::kUniform, static_cast<uint32_t>(step), bucket.values.size()});
    FrameBytes frame;
    ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << step;
    twins.EndStep(true);
    ASSERT_TRUE(twins.SameMemory()) << step;
  }
}

// Of a parameter of two elements at least one stays, where such are not sent whole.
TEST_F(CudaCompressorTest, SmallParametersThatAreNotWhole) {
  for (const std::vector<uint32_t>& counts :
       std::vector<std::vector<uint32_t>>{{2, 3, 4, 5, 2}, {3}, {20'000, 3, 2, 9000, 4, 7}}) {
    CompressorOptions options = OptionsOf("residual", ValueFormat::kFp32);
    options.whole_limit = 0;
    Twins twins(options);
    OwnedBucket bucket(0, counts);
    DeviceBucket device(&bucket);
    for (uint64_t step = 0; step < 6; ++step) {
      bucket.values =
          ValuesOf({Pattern::kUniform, static_cast<uint32_t>(step), bucket.values.size()});
      FrameBytes frame;
      ASSERT_TRUE(twins.Compress(&bucket, &device, step, &frame)) << counts.size() << " " << step;
      twins.EndStep(true);
      ASSERT_TRUE(twins.SameMemory()) << counts.size() << " " << step;
    }
  }
}

// A step's work is enqueued without waiting for the device: a graph can hold it.
TEST_F(CudaCompressorTest, StartCanBeCaptured) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    Twins twins(OptionsOf("residual", ValueFormat::kInt4), stream);
    OwnedBucket bucket(0, kCounts);
    DeviceBucket device(&bucket);
    bucket.values = ValuesOf({Pattern::kUniform, 1, bucket.values.size()});
    FrameBytes frame;
    ASSERT_TRUE(twins.Compress(&bucket, &device, 0, &frame));
    twins.EndStep(true);

    bucket.values = ValuesOf({Pattern::kUniform, 2, bucket.values.size()});
    const Bucket of_device = device.At(1);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    const Status started = twins.gpu->Start(of_device, 3);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    ASSERT_TRUE(started.ok()) << started.message();
    cudaGraphExec_t program = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&program, graph, 0), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(program, stream), cudaSuccess);
    ASSERT_TRUE(twins.gpu->Finish(&frame).ok());

    FrameBytes want;
    ASSERT_TRUE(twins.cpu->Compress(bucket.At(1), 3, &want).ok());
    EXPECT_EQ(frame, want);
    twins.EndStep(true);
    EXPECT_TRUE(twins.SameMemory());
    cudaGraphExecDestroy(program);
    cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(stream);
}

TEST_F(CudaCompressorTest, AnotherStreamAndEmptyBuckets) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    Twins twins(OptionsOf("dgc", ValueFormat::kInt4), stream);
    uint32_t index = 0;
    for (const std::vector<uint32_t>& counts :
         std::vector<std::vector<uint32_t>>{{}, {0, 0}, {4000, 10}}) {
      OwnedBucket bucket(index++, counts);
      bucket.values = ValuesOf({Pattern::kUniform, 3, bucket.values.size()});
      DeviceBucket device(&bucket);
      FrameBytes frame;
      EXPECT_TRUE(twins.Compress(&bucket, &device, 0, &frame)) << counts.size();
    }
    twins.EndStep(true);
    EXPECT_TRUE(twins.SameMemory());
  }
  cudaStreamDestroy(stream);
}

TEST_F(CudaCompressorTest, WrongCallsAreRefused) {
  std::unique_ptr<CudaCompressor> gpu;
  ASSERT_TRUE(
      CudaCompressor::Create(OptionsOf("residual", ValueFormat::kInt4), nullptr, &gpu).ok());
  FrameBytes frame;
  EXPECT_EQ(gpu->Finish(&frame).code(), StatusCode::kInvalidArgument);
  OwnedBucket bucket(0, {2000});
  DeviceBucket device(&bucket);
  Bucket shifted = device.At(0);
  shifted.values = {shifted.values.data() + 1, shifted.values.size()};
  EXPECT_EQ(gpu->Start(shifted, 0).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(gpu->Start(device.At(0), 70'000).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(gpu->Start(device.At(0), 0).ok());
  ASSERT_TRUE(gpu->Finish(&frame).ok());
  EXPECT_EQ(gpu->Finish(&frame).code(), StatusCode::kInvalidArgument);
  gpu->EndStep(true);
  OwnedBucket larger(0, {2001});
  larger.parameters[0].name = bucket.parameters[0].name;
  DeviceBucket device_larger(&larger);
  const Status status = gpu->Start(device_larger.At(1), 0);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("2001 elements"), std::string::npos) << status.message();
  // And goes on as before.
  ASSERT_TRUE(gpu->Start(device.At(1), 0).ok());
  EXPECT_TRUE(gpu->Finish(&frame).ok());
}

// What needs no device.
TEST(CudaCompressorOptions, AreRefused) {
  const auto refused = [](const CompressorOptions& options, const char* word) {
    std::unique_ptr<CudaCompressor> gpu;
    const Status status = CudaCompressor::Create(options, nullptr, &gpu);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(word), std::string::npos) << status.message();
  };
  CompressorOptions options;
  options.selector.name = "randomk";
  refused(options, "topk");
  options = {};
  options.memory = {.name = "dgc", .clip_norm = 1};
  refused(options, "clip");
  options = {};
  options.adaptive_every = 10;
  refused(options, "adaptive");
  options = {};
  options.format.indices = IndexFormat::kBitmap;
  refused(options, "rice-blocks");
  options = {};
  options.format.values = ValueFormat::kSign;
  refused(options, "int4");
  options = {};
  options.ratio = 2;
  refused(options, "ratio");
}

TEST(CudaCompressorOptions, WithoutDeviceIsUnavailable) {
  if (RequireCudaDevice(0).ok()) return;  // there is one: nothing to see
  std::unique_ptr<CudaCompressor> gpu;
  const Status status = CudaCompressor::Create({}, nullptr, &gpu);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("CUDA"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace cddp
