// The compressor of libtorch's operators, on tensors of the CPU: the same frames, memories and
// means as the host's compressor, to the bit.
#include "ddp/aten_compressor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "core/sweep.h"
#include "tests/add_entries.h"
#include "tests/core/owned_bucket.h"
#include "tests/core/random_bits.h"

namespace cddp {
namespace {

constexpr uint64_t kSteps = 8;
constexpr uint64_t kVoidStep = 4;

CompressorOptions Options(const std::string& memory, ValueFormat values) {
  return {.ratio = 0.05,
          .whole_limit = 16,
          .memory = {.name = memory},
          .format = {.values = values, .seed = 7}};
}

std::unique_ptr<AtenCompressor> Aten(const CompressorOptions& options) {
  std::unique_ptr<AtenCompressor> aten;
  const Status status = AtenCompressor::Create(at::kCPU, options, &aten);
  EXPECT_TRUE(status.ok()) << status.message();
  return aten;
}

std::unique_ptr<Compressor> Host(const CompressorOptions& options) {
  std::unique_ptr<Compressor> host;
  EXPECT_TRUE(Compressor::Create(options, &host).ok());
  return host;
}

// Few distinct values: there are many ties.
void Fill(uint64_t step, uint32_t rank, OwnedBucket* bucket) {
  RandomBits bits(1000 * step + 10 * rank + bucket->index);
  for (float& value : bucket->values) value = static_cast<float>(std::round(4 * bits.Gradient()));
}

std::vector<OwnedBucket> Buckets() {
  return {OwnedBucket(0, {3, 600, 16}), OwnedBucket(1, {17}), OwnedBucket(2, {1, 2000})};
}

// Frames, then memories, equal to the bit.
void ExpectSameStep(uint64_t step, AtenCompressor* aten, Compressor* host) {
  for (OwnedBucket& bucket : Buckets()) {
    Fill(step, 2, &bucket);
    if (step == kVoidStep && bucket.index == 1) bucket.values[3] = NAN;
    std::vector<std::byte> frame, want;
    ASSERT_TRUE(host->Compress(bucket.At(step), 2, &want).ok());
    const Status started = aten->Start(bucket.At(step), 2);
    ASSERT_TRUE(started.ok()) << started.message();
    ASSERT_TRUE(aten->Finish(&frame).ok());
    ASSERT_EQ(frame, want) << "step " << step << ", bucket " << bucket.index;
  }
  aten->EndStep(step != kVoidStep);
  host->EndStep(step != kVoidStep);
  CompressorState state, want;
  ASSERT_TRUE(aten->Save(&state).ok());
  ASSERT_TRUE(host->Save(&want).ok());
  ASSERT_EQ(state.memory, want.memory) << "step " << step;
}

class AtenCompressorTest
    : public testing::TestWithParam<std::tuple<std::string, ValueFormat, bool>> {};

TEST_P(AtenCompressorTest, FramesAndMemoriesAreTheHosts) {
  const auto& [memory, values, variant] = GetParam();
  CompressorOptions options = Options(memory, values);
  options.memory.nesterov = options.memory.momentum_masking = variant && memory == "dgc";
  options.format.stochastic = variant;
  const auto aten = Aten(options);
  const auto host = Host(options);
  for (uint64_t step = 0; step < kSteps; ++step) {
    ExpectSameStep(step, aten.get(), host.get());
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(aten->statistics().entries, host->statistics().entries);
  EXPECT_EQ(aten->statistics().bytes_out, host->statistics().bytes_out);
  const NormByParameter want = host->ResidualNorms();
  for (const auto& [parameter, norm] : aten->ResidualNorms()) {
    EXPECT_NEAR(norm, want.at(parameter), 1e-5 * (1 + norm));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AtenCompressorTest,
                         testing::Combine(testing::Values("none", "residual", "dgc"),
                                          testing::Values(ValueFormat::kFp32, ValueFormat::kInt4,
                                                          ValueFormat::kSign),
                                          testing::Bool()));

TEST(AtenCompressor, GoesOnFromWhatTheHostSaved) {
  const CompressorOptions options = Options("dgc", ValueFormat::kInt4);
  const auto before = Aten(options);
  const auto host = Host(options);
  for (uint64_t step = 0; step < 3; ++step) ExpectSameStep(step, before.get(), host.get());
  CompressorState state;
  ASSERT_TRUE(host->Save(&state).ok());
  const auto aten = Aten(options);
  const Status loaded = aten->Load(state);
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  for (uint64_t step = 3; step < 6; ++step) ExpectSameStep(step, aten.get(), host.get());

  state.memory.begin()->second.pop_back();
  EXPECT_EQ(aten->Load(state).code(), StatusCode::kInvalidArgument);
  ExpectSameStep(6, aten.get(), host.get());
  ASSERT_TRUE(aten->SetRatio(0.2).ok());
  ASSERT_TRUE(host->SetRatio(0.2).ok());
  ExpectSameStep(7, aten.get(), host.get());
}

TEST(AtenCompressor, MeanIsOfAllFramesAndChecked) {
  constexpr uint32_t kRanks = 3;
  const CompressorOptions options = Options("none", ValueFormat::kBf16);
  const auto host = Host(options);
  OwnedBucket bucket = Buckets()[0];
  std::vector<std::vector<std::byte>> frames(kRanks);
  std::vector<FrameId> ids;
  std::vector<float> want(bucket.values.size());
  const size_t entries = host->EntryCount(bucket.At(0));
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    Fill(0, rank, &bucket);
    ASSERT_TRUE(host->Compress(bucket.At(0), rank, &frames[rank]).ok());
    ids.push_back({.step = 0,
                   .bucket = 0,
                   .rank = rank,
                   .elements = static_cast<uint32_t>(bucket.values.size())});
    FrameView view;
    Selection sent;
    ASSERT_TRUE(DecodeFrame(frames[rank], ids[rank], entries, &view, &sent).ok());
    AddEntries(sent, &want);
  }
  for (float& value : want) value /= kRanks;
  const auto aten = Aten(options);
  std::vector<std::span<const std::byte>> views(frames.begin(), frames.end());
  bool finite = true;
  ASSERT_TRUE(aten->Mean(views, ids, entries, bucket.At(0), &finite).ok());
  EXPECT_TRUE(finite);
  EXPECT_EQ(bucket.values, want);

  std::vector<std::byte> broken = frames[1];
  broken.back() ^= std::byte{1};
  views[1] = broken;
  EXPECT_EQ(aten->Mean(views, ids, entries, bucket.At(0), &finite).code(), StatusCode::kCorrupt);
  Selection none;
  ASSERT_TRUE(EncodeFrame(options.format, ids[1], {}, /*non_finite=*/true, &none, &broken).ok());
  views[1] = broken;
  ASSERT_TRUE(aten->Mean(views, ids, entries, bucket.At(0), &finite).ok());
  EXPECT_FALSE(finite);
  EXPECT_TRUE(std::isnan(bucket.values[0]));
}

TEST(AtenCompressor, WhatItCannotDoIsRefused) {
  const auto refused = [](CompressorOptions options, const char* part) {
    std::unique_ptr<AtenCompressor> aten;
    const Status status = AtenCompressor::Create(at::kCPU, options, &aten);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  };
  refused({.ratio = 2}, "ratio");
  refused({.selector = {.name = "randomk"}}, "topk");
  refused({.memory = {.name = "dgc", .clip_norm = 1}}, "clip_norm");
  refused({.adaptive_every = 5}, "adaptive");
  const auto aten = Aten({});
  std::vector<std::byte> frame;
  EXPECT_EQ(aten->Finish(&frame).code(), StatusCode::kInvalidArgument) << "nothing was started";
}

}  // namespace
}  // namespace cddp
