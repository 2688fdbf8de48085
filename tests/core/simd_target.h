// Tests that run once for each instruction set that this machine has and the build
// holds: the parameter is Highway's number of it.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <string>

#include "core/sweep.h"

namespace cddp {

class OnSimdTarget : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::GetChosenTarget().Update(GetParam());
    ASSERT_STREQ(SweepTarget(), hwy::TargetName(GetParam()));
  }
  void TearDown() override { hwy::GetChosenTarget().DeInit(); }
};

#define INSTANTIATE_ON_SIMD_TARGETS(Suite)                                      \
  INSTANTIATE_TEST_SUITE_P(                                                     \
      Targets, Suite, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), \
      [](const auto& target) { return std::string(hwy::TargetName(target.param)); })

}  // namespace cddp
