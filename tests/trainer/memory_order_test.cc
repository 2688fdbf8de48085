// Memories of parameters with the channels last, in checkpoints and out of them.
#include "trainer/memory_order.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "collective/shards.h"
#include "ddp/c10d_transport.h"
#include "tests/ddp/random_tensor.h"
#include "tests/ddp/threaded_world.h"
#include "trainer/checkpoint.h"
#include "trainer/rank_state.h"
#include "trainer/train_step.h"
#include "trainer/training_collective.h"

namespace cddp {
namespace {

constexpr const char* kFilters = "conv.weight";
constexpr int64_t kIn = 32, kOut = 128;  // of a 3x3 filter: two owners share it

struct Filters final : Model {
  explicit Filters(bool channels_last) {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(kIn, kOut, 3)));
    if (!channels_last) return;
    const torch::NoGradGuard no_grad;
    conv->weight.set_data(conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  }
  at::Tensor forward(at::Tensor x) override { return conv(x).mean({2, 3}); }
  const at::Tensor& filters() const { return conv->weight; }
  torch::nn::Conv2d conv{nullptr};
};

at::Tensor AsTensor(const std::vector<float>& values) {
  return torch::tensor(values, torch::kFloat);
}

// Values that lie as the parameter does, row by row.
at::Tensor RowMajor(const at::Tensor& values, const at::Tensor& parameter) {
  return values.as_strided(parameter.sizes(), parameter.strides()).flatten();
}

TEST(MemoryOrder, FollowsTheParameter) {
  Filters net(/*channels_last=*/true);
  EXPECT_TRUE(HasChannelsLast(net));
  EXPECT_FALSE(HasChannelsLast(Filters(false)));
  for (const char* memory : {"residual", "dgc"}) {
    MemoryState state{{"conv.bias/velocity", {1, 2, 3}}, {"other", {1}}};
    std::string key;
    for (const std::string_view part : MemoryParts(memory)) {
      key = kFilters + std::string(part);
      const at::Tensor lying = Random({net.filters().numel()}, 7);
      state[key].assign(lying.data_ptr<float>(), lying.data_ptr<float>() + lying.numel());
    }
    const MemoryState before = state;
    ToRowMajor(net, memory, &state);
    EXPECT_TRUE(
        torch::equal(AsTensor(state[key]), RowMajor(AsTensor(before.at(key)), net.filters())));
    ToChannelsLast(net, memory, &state);
    EXPECT_EQ(state, before);
  }
}

// A run of one of two workers: the net, and what keeps memories.
struct Run {
  Run(const TrainOptions& options, World& world, bool channels_last)
      : world(world),
        transport(world),
        collective(MakeTrainingCollective(options, at::kCPU, 1, &transport)),
        net(std::make_shared<Filters>(channels_last)),
        step(options, world, transport, collective.get(), net) {}

  void Train(int steps) {
    for (int i = 0; i < steps; ++i) {
      const auto seed = static_cast<uint64_t>(i * world.size() + world.rank() + 1);
      const LocalBatch batch{Random({4, kIn, 4, 4}, seed), torch::arange(4), false};
      Tally tally;
      step.Run(0.1, {.batches = 1, .targets = 8, .take = [&](uint32_t) { return batch; }}, &tally);
    }
  }
  TrainedState State() { return {*net, step.optimizer(), *collective}; }
  MemoryState Own() {
    CompressorState state;
    EXPECT_TRUE(collective->compression()->Save(&state).ok());
    return state.memory;
  }
  MemoryState AsOwner() {
    Memory* owner = collective->owner_memory();
    return owner == nullptr ? MemoryState() : owner->Save();
  }
  // To the filters by all workers, row by row.
  at::Tensor Owed() {
    at::Tensor owed = AsTensor(Own().at(std::string(kFilters) + "/residual"));
    const std::vector<float> kept = AsOwner()[kFilters];
    const std::vector<BucketParameter> alone{
        {kFilters, 0, static_cast<uint32_t>(net->filters().numel())}};
    std::vector<uint32_t> indices(kept.size());
    std::iota(indices.begin(), indices.end(), 0u);
    Shards({.parameters = alone}, world.size()).ToBucket(world.rank(), indices);
    for (size_t i = 0; i < kept.size(); ++i) owed[indices[i]] += kept[i];
    owed = RowMajor(owed, net->filters()).to(torch::kDouble).contiguous();
    std::vector<double> sums(owed.data_ptr<double>(), owed.data_ptr<double>() + owed.numel());
    world.Sum(sums);
    return torch::tensor(sums, torch::kDouble);
  }

  World& world;
  C10dTransport transport;
  std::unique_ptr<Collective> collective;
  std::shared_ptr<Filters> net;
  TrainStep step;
};

void SaveAndGoOn(World& world, TrainOptions options, const std::filesystem::path& folder,
                 bool channels_last, bool then) {
  Run run(options, world, channels_last);
  run.Train(3);
  CheckpointWriter writer(options, world, folder);
  ASSERT_TRUE(writer.Save(run.State(), {.step = 3}));
  const std::string key = std::string(kFilters) + "/residual";
  const RankState saved = ReadRankState(CheckpointFolder(folder).PathOf(3) /
                                        fmt::format("rank-{:05}.safetensors", world.rank()));
  EXPECT_TRUE(torch::equal(AsTensor(saved.compressor.memory.at(key)),
                           RowMajor(AsTensor(run.Own().at(key)), run.net->filters())));
  EXPECT_EQ(run.AsOwner().empty(), options.collective == "gather");

  options.resume = folder.string();
  Run resumed(options, world, then);
  const auto checkpoint = ResumedCheckpoint::Find(options, world);
  checkpoint->LoadModule(*resumed.net);
  checkpoint->LoadRest(resumed.State());
  EXPECT_TRUE(torch::equal(resumed.net->filters(), run.net->filters()));
  EXPECT_TRUE(torch::allclose(resumed.Owed(), run.Owed(), 1e-5, 1e-8));
  if (then == channels_last) {
    EXPECT_EQ(resumed.Own(), run.Own());
    EXPECT_EQ(resumed.AsOwner(), run.AsOwner());
  } else if (options.collective == "gather") {
    EXPECT_TRUE(torch::equal(RowMajor(AsTensor(resumed.Own().at(key)), resumed.net->filters()),
                             RowMajor(AsTensor(run.Own().at(key)), run.net->filters())));
  }
}

TEST(MemoryOrder, OfCheckpointsIsThatOfNoRun) {
  for (const char* collective : {"gather", "split"}) {
    for (const bool channels_last : {false, true}) {
      for (const bool then : {false, true}) {
        SCOPED_TRACE(fmt::format("{}, {} then {}", collective, channels_last, then));
        TrainOptions options{.compress = true, .ratio = 0.1, .collective = collective};
        Resolve(options);
        const TestFolder folder;
        RunRanks(2, [&](World& world) {
          SaveAndGoOn(world, options, folder.path() / "checkpoints", channels_last, then);
        });
      }
    }
  }
}

}  // namespace
}  // namespace cddp
