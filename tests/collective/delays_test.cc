// However the ranks' threads happen to run, the results are the same to the bit.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

#include "cddp/pipeline.h"
#include "tests/collective/rank_group.h"

namespace cddp {
namespace {

constexpr uint64_t kSeeds = 20;
constexpr int kRanks = 4;
constexpr uint64_t kDelayedSteps = CDDP_DELAYED_STEPS;

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

std::unique_ptr<Collective> MakeAdaptive(bool split, Transport* transport) {
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

// Where a rank sleeps outside of its transport, if it does.
struct Sleepers {
  Delays* submission = nullptr;  // between its buckets
  Delays* stage = nullptr;       // of the pipeline, before a selection
};

void SleepIn(Delays* delays) {
  if (delays != nullptr) delays->Sleep();
}

// One step's buckets, one after the other.
void Synchronise(Collective& collective, uint64_t step, std::vector<OwnedBucket>& buckets,
                 const Sleepers& sleepers) {
  for (OwnedBucket& bucket : buckets) {
    SleepIn(sleepers.submission);
    const Status status = collective.AllReduceMean(bucket.At(step));
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

// The same while the next ones are selected.
void Synchronise(Pipeline& pipeline, uint64_t step, std::vector<OwnedBucket>& buckets,
                 const Sleepers& sleepers) {
  std::latch done(static_cast<ptrdiff_t>(buckets.size()));
  for (OwnedBucket& bucket : buckets) {
    SleepIn(sleepers.submission);
    pipeline.Submit({.bucket = bucket.At(step),
                     .parameters = bucket.parameters,
                     .before = [&] { SleepIn(sleepers.stage); },
                     .done =
                         [&done](const Status& status) {
                           EXPECT_TRUE(status.ok()) << status.message();
                           done.count_down();
                         }});
  }
  done.wait();
}

// All that a rank synchronises, and what it keeps at the end.
std::vector<float> TrainWithDelays(bool split, bool pipelined, Transport& transport,
                                   const Sleepers& sleepers) {
  const auto collective = MakeAdaptive(split, &transport);
  std::optional<Pipeline> pipeline;
  if (pipelined) pipeline.emplace(collective.get());
  std::vector<float> results;
  for (uint64_t step = 0; step < kDelayedSteps; ++step) {
    std::vector<OwnedBucket> buckets = Buckets();
    for (OwnedBucket& bucket : buckets) FillGradient(transport.rank(), step, &bucket);
    if (pipeline) {
      Synchronise(*pipeline, step, buckets, sleepers);
    } else {
      Synchronise(*collective, step, buckets, sleepers);
    }
    for (const OwnedBucket& bucket : buckets) {
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

class DelayTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(DelayTest, ResultsAreThoseWithoutDelays) {
  const auto [split, pipelined] = GetParam();
  std::vector<std::vector<float>> undelayed(kRanks);
  RunRanks(kRanks, [&, split = split](Transport& transport) {
    undelayed[static_cast<size_t>(transport.rank())] =
        TrainWithDelays(split, /*pipelined=*/false, transport, {});
  });
  std::vector<std::chrono::microseconds> slept(kRanks);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    RunRanks(kRanks, [&, split = split, pipelined = pipelined](Transport& transport) {
      const auto self = static_cast<size_t>(transport.rank());
      // One of each thread that sleeps.
      Delays on_wire(seed * kRanks + self), submission(1'000 + seed * kRanks + self),
          stage(2'000 + seed * kRanks + self);
      DelayingTransport delaying(&transport, &on_wire);
      const std::vector<float> results =
          TrainWithDelays(split, pipelined, delaying, {.submission = &submission, .stage = &stage});
      EXPECT_TRUE(SameBits(results, undelayed[self])) << "rank " << self << ", seed " << seed;
      slept[self] += on_wire.slept + submission.slept + stage.slept;
    });
  }
  std::cout << kSeeds << " seeds; each rank slept " << slept[0].count() / 1000 << " ms or so\n";
  for (const auto& of_rank : slept) EXPECT_GT(of_rank, std::chrono::milliseconds(100));
}

INSTANTIATE_TEST_SUITE_P(Collectives, DelayTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "split" : "gather") +
                                  (std::get<1>(info.param) ? "_pipelined" : "");
                         });

}  // namespace
}  // namespace cddp
