// However the ranks' threads happen to run, the results are the same to the bit.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <thread>

#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr uint64_t kSeeds = 20;
constexpr int kRanks = 4;
constexpr uint64_t kSteps = 4;

// Sleeps at random: mostly some microseconds, at times longer than an exchange takes.
class Delays {
 public:
  explicit Delays(uint64_t seed) : bits_(seed) {}

  void Sleep() {
    const uint64_t longest = bits_.Below(4) == 0 ? 3'000 : 100;
    const std::chrono::microseconds delay(bits_.Below(longest));
    std::this_thread::sleep_for(delay);
    slept += delay;
  }

  std::chrono::microseconds slept{0};

 private:
  RandomBits bits_;
};

// A transport whose calls begin and return late.
class DelayingTransport final : public Transport {
 public:
  DelayingTransport(Transport* inner, Delays* delays) : inner_(inner), delays_(delays) {}

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }

  Status AllReduceSum(std::span<float> values) override {
    delays_->Sleep();
    const Status status = inner_->AllReduceSum(values);
    delays_->Sleep();
    return status;
  }

  Status Exchange(std::span<const std::span<const std::byte>> outgoing,
                  std::span<const std::span<std::byte>> incoming) override {
    delays_->Sleep();
    const Status status = inner_->Exchange(outgoing, incoming);
    delays_->Sleep();
    return status;
  }

 private:
  Transport* inner_;
  Delays* delays_;
};

std::unique_ptr<Collective> Make(bool split, Transport* transport) {
  const CompressorOptions options{.ratio = 0.1,
                                  .whole_limit = 4,
                                  .memory = {.name = "dgc"},
                                  .format = {.values = ValueFormat::kInt4},
                                  .adaptive_every = 2};
  std::unique_ptr<Collective> collective;
  if (split) {
    const Status status = MakeSplitCollective(transport, options, 1, &collective);
    EXPECT_TRUE(status.ok()) << status.message();
    return collective;
  }
  std::unique_ptr<Compressor> compressor;
  EXPECT_TRUE(Compressor::Create(options, &compressor).ok());
  return MakeGatherCollective(transport, std::move(compressor));
}

std::vector<OwnedBucket> Buckets() {
  return {OwnedBucket(0, {3, 610, 4}), OwnedBucket(1, {150, 400}), OwnedBucket(2, {1, 2, 4})};
}

// All that a rank synchronises, and what it keeps at the end.
std::vector<float> Train(bool split, Transport& transport, Delays* delays) {
  const auto collective = Make(split, &transport);
  std::vector<float> results;
  for (uint64_t step = 0; step < kSteps; ++step) {
    for (OwnedBucket& bucket : Buckets()) {
      FillGradient(transport.rank(), step, &bucket);
      if (delays != nullptr) delays->Sleep();
      const Status status = collective->AllReduceMean(bucket.At(step));
      EXPECT_TRUE(status.ok()) << status.message();
      results.insert(results.end(), bucket.values.begin(), bucket.values.end());
    }
    EXPECT_EQ(collective->EndStep(), StepOutcome::kCommitted);
  }
  const auto keep = [&](const MemoryState& state) {
    for (const auto& [name, values] : state) {
      results.insert(results.end(), values.begin(), values.end());
    }
  };
  keep(collective->compressor()->memory().Save());
  if (split) keep(collective->owner_memory()->Save());
  return results;
}

class DelayTest : public ::testing::TestWithParam<bool> {};

TEST_P(DelayTest, ResultsAreThoseWithoutDelays) {
  std::vector<std::vector<float>> undelayed(kRanks);
  RunRanks(kRanks, [&](Transport& transport) {
    undelayed[static_cast<size_t>(transport.rank())] = Train(GetParam(), transport, nullptr);
  });
  std::vector<std::chrono::microseconds> slept(kRanks);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    RunRanks(kRanks, [&](Transport& transport) {
      const auto self = static_cast<size_t>(transport.rank());
      Delays delays(seed * kRanks + self);
      DelayingTransport delaying(&transport, &delays);
      const std::vector<float> results = Train(GetParam(), delaying, &delays);
      EXPECT_TRUE(SameBits(results, undelayed[self])) << "rank " << self << ", seed " << seed;
      slept[self] += delays.slept;
    });
  }
  std::cout << kSeeds << " seeds; each rank slept " << slept[0].count() / 1000 << " ms or so\n";
  for (const auto& of_rank : slept) EXPECT_GT(of_rank, std::chrono::milliseconds(100));
}

INSTANTIATE_TEST_SUITE_P(Collectives, DelayTest, ::testing::Bool(),
                         [](const auto& split) { return split.param ? "split" : "gather"; });

}  // namespace
}  // namespace cddp
