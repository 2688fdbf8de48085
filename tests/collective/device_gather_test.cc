// The gathering collective for gradients of a device: the same means as gather's, with a
// compressor that has the device's interface and the host's memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cddp/device_compressor.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

class HostAsDevice final : public DeviceCompressor {
 public:
  explicit HostAsDevice(const CompressorOptions& options) : DeviceCompressor(options) {
    EXPECT_TRUE(Compressor::Create(options, &host_).ok());
  }

  Status Start(const Bucket& bucket, uint32_t rank) override {
    return host_->Compress(bucket, rank, &frame_);
  }
  Status Finish(std::vector<std::byte>* frame) override {
    *frame = frame_;
    return Status::Ok();
  }
  Status Mean(std::span<const std::span<const std::byte>> frames, std::span<const FrameId> ids,
              size_t max_entries, const Bucket& bucket, bool* finite) override {
    std::ranges::fill(bucket.values, 0.0f);
    for (size_t r = 0; r < frames.size(); ++r) {
      FrameView view;
      Selection entries;
      CDDP_RETURN_IF_ERROR(DecodeFrame(frames[r], ids[r], max_entries, &view, &entries));
      *finite &= !view.non_finite;
      for (size_t i = 0; i < entries.size(); ++i) {
        bucket.values[entries.indices[i]] += entries.values[i];
      }
    }
    for (float& value : bucket.values) {
      value /= static_cast<float>(frames.size());
      *finite &= std::isfinite(value);
    }
    if (!*finite) std::ranges::fill(bucket.values, std::nanf(""));
    return Status::Ok();
  }
  void EndStep(bool commit) override { host_->EndStep(commit); }
  Status SetRatio(double ratio) override {
    CDDP_RETURN_IF_ERROR(host_->SetRatio(ratio));
    return DeviceCompressor::SetRatio(ratio);
  }
  NormByParameter ResidualNorms() const override { return host_->ResidualNorms(); }
  Status Save(CompressorState* state) const override { return host_->Save(state); }
  Status Load(const CompressorState& state) override {
    CDDP_RETURN_IF_ERROR(host_->Load(state));
    return DeviceCompressor::SetRatio(state.ratio);
  }

 private:
  std::unique_ptr<Compressor> host_;
  std::vector<std::byte> frame_;
};

const CompressorOptions kDeviceOptions{.ratio = 0.1,
                                       .whole_limit = 4,
                                       .memory = {.name = "dgc"},
                                       .format = {.values = ValueFormat::kInt4}};

TEST(DeviceGather, EqualsGather) {
  for (int ranks : kWorldSizes) {
    RunRanks(ranks, [](Transport& transport) {
      std::unique_ptr<Compressor> compressor;
      ASSERT_TRUE(Compressor::Create(kDeviceOptions, &compressor).ok());
      const auto gather = MakeGatherCollective(&transport, std::move(compressor));
      const auto device =
          MakeDeviceGatherCollective(&transport, std::make_unique<HostAsDevice>(kDeviceOptions));
      EXPECT_TRUE(device->on_device());
      EXPECT_EQ(device->compressor(), nullptr) << "there is none of the host's";
      for (uint64_t step = 0; step < 8; ++step) {
        for (OwnedBucket& bucket : SomeBuckets()) {
          FillGradient(transport.rank(), step, &bucket);
          if (step == 3 && bucket.index == 1 && transport.rank() == 0) bucket.values[7] = NAN;
          OwnedBucket same = bucket;
          ASSERT_TRUE(gather->AllReduceMean(bucket.At(step)).ok());
          const Status status = device->AllReduceMean(same.At(step));
          ASSERT_TRUE(status.ok()) << status.message();
          for (size_t i = 0; i < bucket.values.size(); ++i) {
            // The mean of nothing is 0, of whatever sign.
            ASSERT_TRUE(bucket.values[i] == same.values[i] ||
                        (std::isnan(bucket.values[i]) && std::isnan(same.values[i])));
          }
        }
        const StepOutcome outcome = gather->EndStep();
        ASSERT_EQ(outcome, step == 3 ? StepOutcome::kVoid : StepOutcome::kCommitted);
        ASSERT_EQ(device->EndStep(), outcome);
        CompressorState state, want;
        ASSERT_TRUE(device->compression()->Save(&state).ok());
        ASSERT_TRUE(gather->compression()->Save(&want).ok());
        ASSERT_EQ(state.memory, want.memory);
      }
    });
  }
}

}  // namespace
}  // namespace cddp
