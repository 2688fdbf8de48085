// The training step, with ranks as threads over real Gloo.
#include "trainer/train_step.h"

#include <gtest/gtest.h>

#include <mutex>

#include "ddp/c10d_transport.h"
#include "tests/ddp/random_tensor.h"
#include "tests/ddp/threaded_world.h"
#include "trainer/sampler.h"

namespace cddp {
namespace {

// No dropout: the same for the same weights.
struct SmallNet final : Model {
  explicit SmallNet(bool normalise = false) {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 3)));
    if (normalise) norm = register_module("norm", torch::nn::BatchNorm2d(8));
    fc = register_module("fc", torch::nn::Linear(8 * 36, 10));
    const torch::NoGradGuard no_grad;
    uint64_t seed = 0;
    for (auto& parameter : parameters()) parameter.copy_(Random(parameter.sizes(), ++seed) * 0.2);
  }
  torch::Tensor forward(torch::Tensor x) override {
    x = conv(x);
    if (norm) x = norm(x);
    return fc(torch::relu(x).flatten(1));
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Linear fc{nullptr};
};

constexpr uint32_t kSamples = 23;

torch::Tensor Images() { return Random({kSamples, 1, 8, 8}, 100); }
torch::Tensor Labels() { return torch::arange(int64_t{kSamples}) % 10; }

LocalBatch Take(std::span<const int64_t> indices) {
  const int64_t none = 0;
  const std::span<const int64_t> some = indices.empty() ? std::span(&none, 1) : indices;
  const torch::Tensor index = torch::tensor(std::vector<int64_t>(some.begin(), some.end()));
  return {.inputs = Images().index_select(0, index),
          .targets = Labels().index_select(0, index),
          .empty = indices.empty()};
}

torch::Tensor Flat(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const auto& tensor : tensors) flat.push_back(tensor.detach().to(torch::kDouble).flatten());
  return torch::cat(flat).clone();
}

TrainOptions Options() {
  TrainOptions options;
  options.lr = 0.1;
  return options;
}

// An epoch of this rank's part of the batches.
void TrainEpoch(TrainStep& step, const DistributedSampler& sampler, const TrainOptions& options,
                Tally* tally) {
  const auto accumulate = static_cast<uint32_t>(options.accumulate);
  for (uint32_t i = 0; i < OptimizerSteps(sampler, accumulate); ++i) {
    const AccumulatedBatches batches = BatchesOf(sampler, i, accumulate);
    EXPECT_EQ(step.Run(options.lr,
                       {.batches = batches.count,
                        .targets = batches.samples,
                        .take = [&](uint32_t b) { return Take(sampler.Batch(batches.first + b)); }},
                       tally),
              StepOutcome::kCommitted);
  }
}

// The same epoch of a plain loop over the global batches.
torch::Tensor Expected(uint32_t samples, uint32_t samples_per_step) {
  SmallNet net;
  torch::optim::SGD sgd(net.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  const DistributedSampler all(samples, 1, 0, samples_per_step, 1);
  for (uint32_t i = 0; i < all.steps_per_epoch(); ++i) {
    const LocalBatch batch = Take(all.Batch(i));
    sgd.zero_grad();
    torch::nn::functional::cross_entropy(net.forward(batch.inputs), batch.targets).backward();
    sgd.step();
  }
  return Flat(net.parameters());
}

// Neither batches nor groups of batches divide most numbers of samples: of 19, with 3 workers and
// batches of 2, the last one is of a single sample, with 3 batches to a step the last step has one.
TEST(TrainStep, UnevenEndsWeighSamplesAlike) {
  for (const int ranks : {1, 2, 3, 4}) {
    for (uint32_t samples = 17; samples <= kSamples; ++samples) {
      const int accumulate = 1 + (static_cast<int>(samples) + ranks) % 3;
      RunRanks(ranks, [&](World& world) {
        TrainOptions options = Options();
        options.accumulate = accumulate;
        C10dTransport transport(world);
        const auto collective = MakeDenseCollective(&transport);
        const auto net = std::make_shared<SmallNet>();
        TrainStep step(options, world, transport, collective.get(), net);
        const DistributedSampler sampler(samples, ranks, world.rank(), 2, 1);
        Tally tally;
        TrainEpoch(step, sampler, options, &tally);
        const auto expected = Expected(samples, static_cast<uint32_t>(2 * ranks * accumulate));
        EXPECT_LT((Flat(net->parameters()) - expected).abs().max().item<double>(), 1e-6)
            << ranks << " ranks, " << samples << " samples, " << accumulate;
        std::vector<double> counted{tally.samples};
        world.Sum(counted);
        EXPECT_EQ(counted[0], samples);
      });
    }
  }
}

// A rank without samples joins with one that is not of the batch.
TEST(TrainStep, StatisticsDoNotSeeWhatIsNotOfTheBatch) {
  RunRanks(2, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    const auto net = std::make_shared<SmallNet>(/*normalise=*/true);
    const TrainOptions options = Options();
    TrainStep step(options, world, transport, collective.get(), net);
    const DistributedSampler sampler(1, 2, world.rank(), 1, 1);
    ASSERT_EQ(sampler.Batch(0).empty(), world.rank() == 0);
    const torch::Tensor before = Flat(net->buffers());
    Tally tally;
    TrainEpoch(step, sampler, options, &tally);
    EXPECT_EQ(torch::equal(Flat(net->buffers()), before), world.rank() == 0);
    EXPECT_TRUE(net->is_training());
  });
}

TEST(TrainStep, EvaluationIsTheSameOnEveryRank) {
  std::mutex mutex;
  std::vector<torch::Tensor> logits;
  RunRanks(2, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    const auto net = std::make_shared<SmallNet>(/*normalise=*/true);
    const TrainOptions options = Options();
    TrainStep step(options, world, transport, collective.get(), net);
    Tally tally;
    TrainEpoch(step, DistributedSampler(kSamples, 2, world.rank(), 2, 1), options, &tally);
    step.engine().SyncBuffers();
    net->eval();
    const torch::NoGradGuard no_grad;
    const std::lock_guard lock(mutex);
    logits.push_back(Predict(*net, Images(), Labels(), "none").logits);
  });
  EXPECT_TRUE(torch::equal(logits[0], logits[1]));
}

std::unique_ptr<Collective> Compressed(Transport* transport) {
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = 0.05}, &compressor));
  return MakeGatherCollective(transport, std::move(compressor));
}

struct Clipped {
  double update = 0;  // norm of the change of the parameters
  MemoryState memory;
};

Clipped StepWithClipping(World& world, double clip_grad_norm) {
  TrainOptions options = Options();
  options.lr = 1;
  options.momentum = 0;
  options.clip_grad_norm = clip_grad_norm;
  C10dTransport transport(world);
  const auto collective = Compressed(&transport);
  const auto net = std::make_shared<SmallNet>();
  TrainStep step(options, world, transport, collective.get(), net);
  const torch::Tensor before = Flat(net->parameters());
  const std::vector<int64_t> all(size_t{kSamples});
  Tally tally;
  step.Run(options.lr, {.targets = 2 * kSamples, .take = [&](uint32_t) { return Take(all); }},
           &tally);
  return {(Flat(net->parameters()) - before).norm().item<double>(),
          collective->compressor()->memory().Save()};
}

// After the collective: the update has the norm, the memories are as without clipping.
TEST(TrainStep, ClippingComesAfterTheCollective) {
  RunRanks(2, [&](World& world) {
    const Clipped free = StepWithClipping(world, 0);
    const Clipped clipped = StepWithClipping(world, 0.01);
    EXPECT_GT(free.update, 0.1);
    EXPECT_NEAR(clipped.update, 0.01, 1e-7);
    EXPECT_EQ(clipped.memory, free.memory);
  });
}

TEST(Predict, SmoothsLabelsAsPython) {
  struct Fixed final : Model {
    torch::Tensor forward(torch::Tensor x) override { return x; }
  } fixed;
  // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 0.5], [0.1, -1., 3.]]),
  //     torch.tensor([1, 0]), label_smoothing=0.1, reduction='sum')
  const auto logits = torch::tensor({1.0f, 2.0f, 0.5f, 0.1f, -1.0f, 3.0f}).view({2, 3});
  const auto labels = torch::tensor({1, 0}, torch::kLong);
  EXPECT_NEAR(Predict(fixed, logits, labels, "none", 0.1).loss_sum.item<double>(),
              3.4584765434265137, 1e-6);
}

TEST(Predict, ComputesInBf16AndGivesFp32) {
  SmallNet net;
  const Prediction exact = Predict(net, Images(), Labels(), "none");
  const Prediction rough = Predict(net, Images(), Labels(), "bf16");
  EXPECT_EQ(rough.logits.scalar_type(), torch::kFloat);
  EXPECT_FALSE(torch::equal(rough.logits, exact.logits));
  EXPECT_TRUE(torch::equal(rough.logits, rough.logits.to(torch::kBFloat16).to(torch::kFloat)));
  EXPECT_NEAR(rough.loss_sum.item<double>() / exact.loss_sum.item<double>(), 1.0, 0.02);
  rough.loss_sum.backward();
  for (const auto& parameter : net.parameters()) {
    EXPECT_EQ(parameter.grad().scalar_type(), torch::kFloat);
  }
  // What comes after is not changed, and sees changed parameters.
  EXPECT_TRUE(torch::equal(Predict(net, Images(), Labels(), "none").logits, exact.logits));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : net.parameters()) parameter.mul_(2);
  }
  EXPECT_FALSE(torch::equal(Predict(net, Images(), Labels(), "bf16").logits, rough.logits));
}

}  // namespace
}  // namespace cddp
