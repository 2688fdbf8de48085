// Dense gradients on a device, here the CPU.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ddp/device_collective.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

TEST(DenseDeviceCollective, LeavesGradientsAsTheyAre) {
  const auto collective = MakeDenseDeviceCollective(at::kCPU);
  EXPECT_TRUE(collective->on_device());
  OwnedBucket bucket(0, {3, 600});
  for (size_t i = 0; i < bucket.values.size(); ++i) bucket.values[i] = static_cast<float>(i) - 300;
  const auto before = bucket.values;
  EXPECT_TRUE(collective->AllReduceMean(bucket.At(0)).ok());
  EXPECT_EQ(bucket.values, before);
  EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
}

TEST(DenseDeviceCollective, AStepWithWhatIsNotFiniteIsVoid) {
  const auto collective = MakeDenseDeviceCollective(at::kCPU);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  uint64_t step = 0;
  for (const float bad : {NAN, kInfinity, -kInfinity}) {
    OwnedBucket first(0, {5}), second(1, {2000});
    second.values[1234] = bad;
    EXPECT_TRUE(collective->AllReduceMean(second.At(step)).ok());
    EXPECT_TRUE(collective->AllReduceMean(first.At(step)).ok());
    EXPECT_EQ(collective->EndStep(), StepOutcome::kVoid) << bad;
    ++step;
    EXPECT_TRUE(collective->AllReduceMean(first.At(step)).ok());
    EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted) << bad;
    ++step;
  }
}

}  // namespace
}  // namespace cddp
