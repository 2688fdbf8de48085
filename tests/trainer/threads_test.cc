#include "trainer/threads.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <thread>

namespace cddp {
namespace {

class ThreadsTest : public testing::Test {
 protected:
  ThreadsTest() {
    for (const char* name : {"OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID"}) unsetenv(name);
    sched_getaffinity(0, sizeof before_, &before_);
  }
  ~ThreadsTest() override {
    for (const char* name : {"OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID"}) unsetenv(name);
    sched_setaffinity(0, sizeof before_, &before_);
  }

  // To one of the cores that it may run on. False on a machine that has no other.
  bool Bind() const {
    if (CPU_COUNT(&before_) < 2) return false;
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &one);
    }
    return sched_setaffinity(0, sizeof one, &one) == 0;
  }

  cpu_set_t before_;
  const TrainOptions options_{};
};

TEST_F(ThreadsTest, AProcessThatIsBoundTakesItsOwnCores) {
  if (!Bind()) GTEST_SKIP() << "there is only one core";
  EXPECT_EQ(UsableCores(), 1);
  EXPECT_EQ(ThreadsPerWorker(options_, 1), 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 1), 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 4), 1);
}

// mpirun and srun bind each worker to cores of its own, which are not divided once more.
TEST_F(ThreadsTest, SharesAreNotSharedAgain) {
  const int cores = UsableCores();
  const bool bound = CPU_COUNT(&before_) < static_cast<int>(std::thread::hardware_concurrency());
  EXPECT_EQ(ThreadsPerWorker(options_, cores), bound ? cores : 1);
  EXPECT_EQ(ThreadsToShareOut(options_, cores), 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 1), cores);
}

TEST_F(ThreadsTest, TheFlagBeatsTheEnvironmentBeatsTheCores) {
  setenv("OMP_NUM_THREADS", "7", 1);
  EXPECT_EQ(ThreadsPerWorker(options_, 2), 7);
  EXPECT_EQ(ThreadsToShareOut(options_, 2), 7);
  EXPECT_EQ(ThreadsPerWorker({.threads = 5}, 2), 5);
  setenv("OMP_NUM_THREADS", "3,2", 1);
  EXPECT_EQ(ThreadsPerWorker(options_, 2), 3);
  setenv("OMP_NUM_THREADS", "many", 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 1), UsableCores());
}

TEST_F(ThreadsTest, WhatTorchrunSetsByItselfIsNobodysWish) {
  setenv("TORCHELASTIC_RUN_ID", "none", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 1), UsableCores());
  setenv("OMP_NUM_THREADS", "2", 1);
  EXPECT_EQ(ThreadsToShareOut(options_, 1), 2);
}

TEST(CoresOfQuotaTest, AreWholeOnes) {
  EXPECT_EQ(CoresOfQuota("200000 100000\n"), 2);
  EXPECT_EQ(CoresOfQuota("250000 100000"), 2);
  EXPECT_EQ(CoresOfQuota("50000 100000"), 1);
  for (const char* none : {"max 100000", "", "max", "0 100000", "100000 0"}) {
    EXPECT_EQ(CoresOfQuota(none), std::nullopt) << none;
  }
}

}  // namespace
}  // namespace cddp
