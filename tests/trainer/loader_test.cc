#include "trainer/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "cddp/status.h"

namespace cddp {
namespace {

using std::chrono::milliseconds;

// A batch's targets are the samples' numbers, its token the epoch. `before` runs first.
class NumberSamples final : public Samples {
 public:
  explicit NumberSamples(
      uint32_t count, std::function<void(int)> before = [](int) {})
      : Samples({.context = 1, .classes = 2}, count), before_(std::move(before)) {}

  void Make(std::span<const int64_t> numbers, uint64_t epoch, Batch* batch) const override {
    before_(made_++);
    batch->samples = static_cast<uint32_t>(numbers.size());
    batch->targets.assign(numbers.begin(), numbers.end());
    batch->tokens.assign(1, static_cast<int64_t>(epoch));
  }

  int made() const { return made_; }

 private:
  const std::function<void(int)> before_;
  mutable std::atomic<int> made_ = 0;
};

std::vector<int64_t> Expected(const DistributedSampler& sampler, uint32_t step) {
  const auto numbers = sampler.Batch(step);
  if (numbers.empty()) return {0};
  return {numbers.begin(), numbers.end()};
}

void Pause(int) { std::this_thread::sleep_for(milliseconds(1)); }

TEST(LoaderTest, BatchesAreThoseOfTheSamplerInItsOrder) {
  for (const uint32_t depth : {1u, 2u, 5u, 100u}) {
    for (const bool slow : {false, true}) {
      DistributedSampler sampler(66, 4, 1, 4, 9);
      Loader loader(
          slow ? std::make_shared<NumberSamples>(66, Pause) : std::make_shared<NumberSamples>(66),
          sampler, depth);
      for (const uint64_t epoch : {0u, 1u, 5u}) {
        sampler.SetEpoch(epoch);
        loader.StartEpoch(epoch);
        ASSERT_EQ(sampler.steps_per_epoch(), 5u);
        for (uint32_t step = 0; step < 5; ++step) {
          const Batch& batch = loader.Next();
          // What is handed out stays while the thread runs on.
          if (!slow) std::this_thread::sleep_for(milliseconds(1));
          EXPECT_EQ(batch.targets, Expected(sampler, step)) << "step " << step;
          EXPECT_EQ(batch.tokens[0], static_cast<int64_t>(epoch));
        }
      }
    }
  }
}

TEST(LoaderTest, AWorkerWithoutSamplesGetsTheFirst) {
  Loader loader(std::make_shared<NumberSamples>(66), DistributedSampler(66, 4, 0, 16, 3));
  loader.StartEpoch(0);
  loader.Next();
  EXPECT_TRUE(loader.sampler().Batch(1).empty());
  EXPECT_EQ(loader.Next().targets, std::vector<int64_t>{0});
}

TEST(LoaderTest, AnEpochBeginsAtAnyStep) {
  const DistributedSampler sampler(100, 1, 0, 10, 3);
  Loader loader(std::make_shared<NumberSamples>(100), sampler, 3);
  loader.StartEpoch(0, 7);
  for (uint32_t step = 7; step < 10; ++step) {
    EXPECT_EQ(loader.Next().targets, Expected(sampler, step));
  }
  EXPECT_THROW(loader.Next(), StatusError);
}

TEST(LoaderTest, ThereIsNoBatchOutsideAnEpoch) {
  Loader loader(std::make_shared<NumberSamples>(10), DistributedSampler(10, 1, 0, 10, 3));
  EXPECT_THROW(loader.Next(), StatusError);
  loader.StartEpoch(0);
  loader.Next();
  EXPECT_THROW(loader.Next(), StatusError);
}

TEST(LoaderTest, RunsAheadByItsDepthAndNoFurther) {
  const auto samples = std::make_shared<NumberSamples>(1000);
  Loader loader(samples, DistributedSampler(1000, 1, 0, 10, 3), 3);
  EXPECT_EQ(samples->made(), 0) << "no epoch has begun";
  loader.StartEpoch(0);
  for (int handed_out = 0; handed_out < 5; ++handed_out) {
    if (handed_out > 0) loader.Next();
    // Before the first batch is asked for, there is room for one more.
    const int most = handed_out == 0 ? 4 : handed_out + 3;
    for (int i = 0; i < 5000 && samples->made() < most; ++i) Pause(0);
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(samples->made(), most);
  }
}

TEST(LoaderTest, AnErrorReachesTheCallerBehindTheBatchesBeforeIt) {
  const auto fail = [](int made) {
    if (made == 2) throw StatusError(StatusCode::kCorrupt, "image 3");
  };
  Loader loader(std::make_shared<NumberSamples>(100, fail), DistributedSampler(100, 1, 0, 10, 3));
  loader.StartEpoch(0);
  loader.Next();
  loader.Next();
  for (int i = 0; i < 2; ++i) {
    try {
      loader.Next();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kCorrupt);
      EXPECT_STREQ(error.what(), "image 3");
    }
  }
  loader.StartEpoch(1);  // the fourth Make and on
  EXPECT_EQ(loader.Next().tokens[0], 1);
}

TEST(LoaderTest, StopsInTheMiddleOfAnEpoch) {
  for (int handed_out = 0; handed_out < 8; ++handed_out) {
    for (const bool slow : {false, true}) {
      const auto samples = slow ? std::make_shared<NumberSamples>(1000, Pause)
                                : std::make_shared<NumberSamples>(1000);
      {
        Loader loader(samples, DistributedSampler(1000, 1, 0, 10, 3), 2);
        loader.StartEpoch(0);
        for (int i = 0; i < handed_out; ++i) loader.Next();
        loader.StartEpoch(1);
        for (int i = 0; i < handed_out; ++i) EXPECT_EQ(loader.Next().tokens[0], 1);
      }
      EXPECT_LE(samples->made(), 2 * (handed_out + 3)) << "the rest of an epoch is not made";
    }
  }
}

TEST(LoaderTest, MayBeDestroyedBeforeAnEpoch) {
  const Loader loader(std::make_shared<NumberSamples>(10), DistributedSampler(10, 1, 0, 10, 3));
}

}  // namespace
}  // namespace cddp
