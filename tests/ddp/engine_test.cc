// The DDP engine and the hook, with ranks as threads over real Gloo.
#include "ddp/engine.h"

#include <gtest/gtest.h>

#include <limits>
#include <mutex>

#include "cddp/collective.h"
#include "core/oracle.h"
#include "ddp/c10d_transport.h"
#include "ddp/device_collective.h"
#include "tests/ddp/random_tensor.h"
#include "tests/ddp/threaded_world.h"

namespace cddp {
namespace {

// A convolution and a fully connected layer: parameters of 4, 2 and 1 dimensions.
struct TinyNet : torch::nn::Module {
  TinyNet() {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3)));
    fc = register_module("fc", torch::nn::Linear(16 * 6 * 6, 40));
  }
  torch::Tensor forward(const torch::Tensor& x) { return fc(torch::relu(conv(x)).flatten(1)); }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::Linear fc{nullptr};
};

// Threads share torch's default generator: tests draw from their own.
std::shared_ptr<TinyNet> SeededNet(uint64_t seed) {
  auto net = std::make_shared<TinyNet>();
  const torch::NoGradGuard no_grad;
  for (auto& parameter : net->parameters())
    parameter.copy_(Random(parameter.sizes(), ++seed) * 0.1);
  return net;
}

std::unique_ptr<Collective> Gather(Transport* transport, double ratio, const char* memory) {
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = ratio, .memory = {.name = memory}}, &compressor));
  return MakeGatherCollective(transport, std::move(compressor));
}

// One step of `net` on this rank's batch; the loss is scaled by `scale`.
StepOutcome SeededStep(DdpEngine& engine, TinyNet& net, uint64_t seed, double scale = 1.0) {
  engine.BeginStep();
  const auto output = net.forward(Random({8, 1, 8, 8}, seed));
  engine.Backward(output, output.pow(2).mean() * scale);
  return engine.EndStep();
}

std::vector<torch::Tensor> LocalGradients(TinyNet& net, uint64_t seed) {
  auto copy = std::make_shared<TinyNet>();
  {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < net.parameters().size(); ++i) {
      copy->parameters()[i].copy_(net.parameters()[i]);
    }
  }
  copy->forward(Random({8, 1, 8, 8}, seed)).pow(2).mean().backward();
  std::vector<torch::Tensor> gradients;
  for (const auto& parameter : copy->parameters()) gradients.push_back(parameter.grad());
  return gradients;
}

torch::Tensor Flat(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const auto& tensor : tensors) flat.push_back(tensor.detach().flatten());
  return torch::cat(flat);
}

DdpOptions SmallBuckets() {
  DdpOptions options;
  options.bucket_bytes = 16'000;  // the weights of conv and fc lie in buckets of their own
  options.first_bucket_bytes = 100;
  return options;
}

class EngineTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EngineTest, testing::Values(1, 2, 3, 4));

TEST_P(EngineTest, DenseHookEqualsManualAverage) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    const auto net = SeededNet(static_cast<uint64_t>(world.rank()));  // rank 0's must win
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    EXPECT_TRUE(torch::equal(Flat(net->parameters()), Flat(SeededNet(0)->parameters())));
    for (uint64_t step = 0; step < 3; ++step) {
      torch::Tensor mean;
      for (int rank = 0; rank < ranks; ++rank) {
        const auto gradient = Flat(LocalGradients(*net, 100 * step + static_cast<uint64_t>(rank)));
        mean = mean.defined() ? mean + gradient : gradient;
      }
      mean /= ranks;
      EXPECT_EQ(SeededStep(engine, *net, 100 * step + static_cast<uint64_t>(world.rank())),
                StepOutcome::kCommitted);
      std::vector<torch::Tensor> gradients;
      for (const auto& parameter : net->parameters()) gradients.push_back(parameter.grad());
      EXPECT_LT((Flat(gradients) - mean).abs().max().item<double>(), 1e-6);
    }
  });
}

TEST_P(EngineTest, RatioOneEqualsDense) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport dense_transport(world), sparse_transport(world);
    const auto dense = MakeDenseCollective(&dense_transport);
    const auto sparse = Gather(&sparse_transport, 1.0, "residual");
    const auto a = SeededNet(1), b = SeededNet(1);
    DdpEngine dense_engine(*a, world, dense_transport, dense.get(), SmallBuckets());
    DdpEngine sparse_engine(*b, world, sparse_transport, sparse.get(), SmallBuckets());
    for (uint64_t step = 0; step < 3; ++step) {
      const uint64_t seed = 100 * step + static_cast<uint64_t>(world.rank());
      SeededStep(dense_engine, *a, seed);
      SeededStep(sparse_engine, *b, seed);
      for (size_t i = 0; i < a->parameters().size(); ++i) {
        EXPECT_TRUE(
            torch::allclose(a->parameters()[i].grad(), b->parameters()[i].grad(), 1e-6, 1e-7));
      }
    }
  });
}

TEST_P(EngineTest, ReplicasBitIdentical) {
  std::mutex mutex;
  std::vector<torch::Tensor> replicas;
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Gather(&transport, 0.05, "residual");
    const auto net = SeededNet(1);
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
    for (uint64_t step = 0; step < 50; ++step) {
      SeededStep(engine, *net, 100 * step + static_cast<uint64_t>(world.rank()));
      optimizer.step();
    }
    const std::lock_guard lock(mutex);
    replicas.push_back(Flat(net->parameters()).clone());
  });
  for (const auto& replica : replicas) EXPECT_TRUE(torch::equal(replica, replicas[0]));
  EXPECT_FALSE(torch::equal(replicas[0], Flat(SeededNet(1)->parameters())));
}

// The optimiser's momentum and weight decay, moved into the memory and the hook.
TEST_P(EngineTest, DgcWithEverythingSentEqualsMomentumSgd) {
  for (bool nesterov : {false, true}) {
    RunRanks(GetParam(), [&](World& world) {
      C10dTransport dense_transport(world), dgc_transport(world);
      const auto dense = MakeDenseCollective(&dense_transport);
      std::unique_ptr<Compressor> compressor;
      ThrowIfError(Compressor::Create(
          {.ratio = 1.0, .memory = {.name = "dgc", .momentum = 0.9, .nesterov = nesterov}},
          &compressor));
      const auto dgc = MakeGatherCollective(&dgc_transport, std::move(compressor));
      const auto a = SeededNet(1), b = SeededNet(1);
      DdpOptions decayed = SmallBuckets();
      decayed.weight_decay = 0.01;
      DdpEngine dense_engine(*a, world, dense_transport, dense.get(), SmallBuckets());
      DdpEngine dgc_engine(*b, world, dgc_transport, dgc.get(), decayed);
      torch::optim::SGD sgd(
          a->parameters(),
          torch::optim::SGDOptions(0.01).momentum(0.9).nesterov(nesterov).weight_decay(0.01));
      torch::optim::SGD plain(b->parameters(), torch::optim::SGDOptions(0.01));
      for (uint64_t step = 0; step < 30; ++step) {
        const uint64_t seed = 100 * step + static_cast<uint64_t>(world.rank());
        SeededStep(dense_engine, *a, seed);
        sgd.step();
        SeededStep(dgc_engine, *b, seed);
        plain.step();
      }
      EXPECT_LT((Flat(a->parameters()) - Flat(b->parameters())).abs().max().item<double>(), 1e-6);
      EXPECT_GT(
          (Flat(a->parameters()) - Flat(SeededNet(1)->parameters())).abs().max().item<double>(),
          1e-2);
    });
  }
}

TEST_P(EngineTest, NonFiniteGradientVoidsTheStepOnEveryRank) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Gather(&transport, 0.05, "residual");
    const auto net = SeededNet(1);
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    const auto rank = static_cast<uint64_t>(world.rank());
    EXPECT_EQ(SeededStep(engine, *net, rank), StepOutcome::kCommitted);
    const MemoryState before = collective->compressor()->memory().Save();
    const bool culprit = world.rank() == world.size() - 1;
    const double scale = culprit ? std::numeric_limits<double>::quiet_NaN() : 1.0;
    EXPECT_EQ(SeededStep(engine, *net, 10 + rank, scale), StepOutcome::kVoid);
    EXPECT_EQ(collective->compressor()->memory().Save(), before);
    EXPECT_EQ(SeededStep(engine, *net, 20 + rank), StepOutcome::kCommitted);
    EXPECT_NE(collective->compressor()->memory().Save(), before);
  });
}

// The collective of one worker on a device, which is called by backward's own thread.
TEST(EngineAlone, GradientsAreThoseOfBackward) {
  RunRanks(1, [](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseDeviceCollective(at::kCPU);
    ASSERT_TRUE(collective->enqueues());
    const auto net = SeededNet(0);
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    for (const double scale : {1.0, 8.0}) {
      const auto expected = LocalGradients(*net, 5);
      engine.BeginStep(scale);
      const auto output = net->forward(Random({8, 1, 8, 8}, 5));
      engine.Backward(output, output.pow(2).mean() * scale);
      EXPECT_EQ(engine.EndStep(), StepOutcome::kCommitted);
      std::vector<torch::Tensor> gradients;
      for (const auto& parameter : net->parameters()) gradients.push_back(parameter.grad());
      EXPECT_LT((Flat(gradients) - Flat(expected)).abs().max().item<double>(), 1e-6) << scale;
    }
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    EXPECT_EQ(SeededStep(engine, *net, 6, kInfinity), StepOutcome::kVoid);
    EXPECT_EQ(SeededStep(engine, *net, 6), StepOutcome::kCommitted);
  });
}

TEST(CommHookTest, ShapeAndDtypePreserved) {
  RunRanks(2, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Gather(&transport, 0.05, "residual");
    const auto net = SeededNet(1);
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    SeededStep(engine, *net, static_cast<uint64_t>(world.rank()));
    for (const auto& parameter : net->parameters()) {
      EXPECT_EQ(parameter.grad().sizes(), parameter.sizes());
      EXPECT_EQ(parameter.grad().scalar_type(), parameter.scalar_type());
      EXPECT_GT(parameter.grad().abs().sum().item<double>(), 0);
    }
  });
}

// A gradient of four dimensions is selected from as if it were flat.
TEST(Selection, MultiDimensional) {
  RunRanks(1, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Gather(&transport, 0.05, "none");
    torch::nn::Conv2d conv(torch::nn::Conv2dOptions(8, 32, 3).bias(false));
    {
      const torch::NoGradGuard no_grad;
      conv->weight.copy_(Random({32, 8, 3, 3}, 1));
    }
    const auto images = Random({2, 8, 6, 6}, 2);
    const auto local = torch::autograd::grad({conv->forward(images).pow(2).sum()}, {conv->weight});
    DdpEngine engine(*conv, world, transport, collective.get(), SmallBuckets());
    engine.BeginStep();
    const auto output = conv->forward(images);
    engine.Backward(output, output.pow(2).sum());

    const auto flat = local[0].flatten().contiguous();
    const auto elements = static_cast<size_t>(flat.numel());
    const cddp::Selection expected =
        SelectTopKOracle({flat.data_ptr<float>(), elements}, SelectionCount(elements, 0.05));
    ASSERT_EQ(expected.size(), 116u);  // 5% of 32 * 8 * 3 * 3, rounded up
    auto dense = torch::zeros_like(flat);
    for (size_t i = 0; i < expected.size(); ++i) {
      dense[static_cast<int64_t>(expected.indices[i])] = expected.values[i];
    }
    EXPECT_TRUE(torch::equal(conv->weight.grad(), dense.reshape({32, 8, 3, 3})));
  });
}

TEST(CommHookTest, SelectionPassesGradientsThroughUnchangedWhereSent) {
  RunRanks(1, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Gather(&transport, 0.05, "none");
    const auto net = SeededNet(1);
    DdpEngine engine(*net, world, transport, collective.get(), SmallBuckets());
    const auto whole = LocalGradients(*net, 7);
    SeededStep(engine, *net, 7);
    for (size_t i = 0; i < whole.size(); ++i) {
      const auto sent = net->parameters()[i].grad();
      const auto mask = sent != 0;
      const int64_t elements = sent.numel();
      const auto k =
          elements <= 1024
              ? (whole[i] != 0).sum().item<int64_t>()  // goes whole
              : static_cast<int64_t>(SelectionCount(static_cast<size_t>(elements), 0.05));
      EXPECT_EQ(mask.sum().item<int64_t>(), k);
      EXPECT_TRUE(torch::equal(sent.masked_select(mask), whole[i].masked_select(mask)));
    }
  });
}

}  // namespace
}  // namespace cddp
