// What a step of the engine may be made of: several batches, a scaled loss, buffers,
// parameters that it leaves out. Ranks are threads over real Gloo.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "ddp/c10d_transport.h"
#include "ddp/engine.h"
#include "tests/ddp/random_tensor.h"
#include "tests/ddp/threaded_world.h"

namespace cddp {
namespace {

// Threads share torch's default generator: tests draw from their own.
// With or without batch normalisation and a branch that may be left out.
struct Net : torch::nn::Module {
  explicit Net(bool normalise) : normalise(normalise) {
    first = register_module("first", torch::nn::Linear(20, 80));
    if (normalise) norm = register_module("norm", torch::nn::BatchNorm1d(80));
    last = register_module("last", torch::nn::Linear(80, 4));
    spare = register_module("spare", torch::nn::Linear(80, 4));
    const torch::NoGradGuard no_grad;
    uint64_t seed = 0;
    for (auto& parameter : parameters()) {
      parameter.copy_(Random(parameter.sizes(), ++seed) * 0.2);
    }
  }
  torch::Tensor forward(torch::Tensor x, bool with_spare = true) {
    x = first(x);
    if (normalise) x = norm(x);
    x = torch::relu(x);
    return with_spare ? last(x) + spare(x) : last(x);
  }
  bool normalise;
  torch::nn::Linear first{nullptr}, last{nullptr}, spare{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
};

torch::Tensor FlatDoubles(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const auto& tensor : tensors) flat.push_back(tensor.detach().to(torch::kDouble).flatten());
  return torch::cat(flat).clone();
}

double Distance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

std::unique_ptr<Collective> Residual(Transport* transport, uint32_t whole_limit = 1024) {
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = 0.05, .whole_limit = whole_limit}, &compressor));
  return MakeGatherCollective(transport, std::move(compressor));
}

StepOutcome Step(DdpEngine& engine, Net& net, const torch::Tensor& x, bool with_spare = true,
                 double loss_scale = 1) {
  engine.BeginStep(loss_scale);
  const auto output = net.forward(x, with_spare);
  engine.Backward(output, output.pow(2).mean() * loss_scale);
  return engine.EndStep();
}

uint64_t Rank(const World& world) { return static_cast<uint64_t>(world.rank()); }

class EngineStep : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EngineStep, testing::Values(1, 2, 3));

TEST_P(EngineStep, AccumulationEqualsTheLargeBatch) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport whole_transport(world), parts_transport(world);
    const auto whole_dense = MakeDenseCollective(&whole_transport);
    const auto parts_dense = MakeDenseCollective(&parts_transport);
    Net whole(false), parts(false);
    DdpEngine whole_engine(whole, world, whole_transport, whole_dense.get(), {});
    DdpEngine parts_engine(parts, world, parts_transport, parts_dense.get(), {});
    torch::optim::SGD whole_sgd(whole.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
    torch::optim::SGD parts_sgd(parts.parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
    const torch::Tensor start = FlatDoubles(whole.parameters());
    for (uint64_t step = 0; step < 5; ++step) {
      const auto x = Random({32, 20}, 100 * step + Rank(world));
      EXPECT_EQ(Step(whole_engine, whole, x), StepOutcome::kCommitted);
      whole_sgd.step();

      parts_engine.BeginStep();
      for (int64_t part = 0; part < 4; ++part) {
        const auto output = parts.forward(x.slice(0, 8 * part, 8 * part + 8));
        const auto loss = output.pow(2).mean() / 4;
        if (part < 3) {
          parts_engine.Accumulate(loss);
        } else {
          parts_engine.Backward(output, loss);
        }
      }
      EXPECT_EQ(parts_engine.EndStep(), StepOutcome::kCommitted);
      parts_sgd.step();
    }
    EXPECT_LT(Distance(FlatDoubles(whole.parameters()), FlatDoubles(parts.parameters())), 1e-6);
    EXPECT_GT(Distance(FlatDoubles(whole.parameters()), start), 1e-2);
  });
}

// Memories hold what the gradients are, whatever the scale of the loss was.
TEST_P(EngineStep, ScalesOfTheLossLeaveNoTrace) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport plain_transport(world), scaled_transport(world);
    const auto plain_collective = Residual(&plain_transport);
    const auto scaled_collective = Residual(&scaled_transport);
    Net plain(false), scaled(false);
    DdpOptions decayed;
    decayed.weight_decay = 0.01;  // is not scaled
    DdpEngine plain_engine(plain, world, plain_transport, plain_collective.get(), decayed);
    DdpEngine scaled_engine(scaled, world, scaled_transport, scaled_collective.get(), decayed);
    for (uint64_t step = 0; step <= 50; ++step) {
      const auto x = Random({8, 20}, 100 * step + Rank(world));
      Step(plain_engine, plain, x);
      Step(scaled_engine, scaled, x, true, std::ldexp(1.0, static_cast<int>(7 * step % 17)));
      for (size_t i = 0; i < plain.parameters().size(); ++i) {
        EXPECT_TRUE(torch::equal(plain.parameters()[i].grad(), scaled.parameters()[i].grad()));
      }
      EXPECT_EQ(scaled_collective->compressor()->memory().Save(),
                plain_collective->compressor()->memory().Save());
    }
  });
}

// As gradients of a device go: copied for the collective, and back.
TEST_P(EngineStep, StagedGradientsAreTheSame) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport plain_transport(world), staged_transport(world);
    const auto plain_collective = Residual(&plain_transport);
    const auto staged_collective = Residual(&staged_transport);
    Net plain(true), staged(true);
    DdpOptions options;
    options.weight_decay = 0.01;
    options.bucket_bytes = options.first_bucket_bytes = 2'000;  // several
    DdpEngine plain_engine(plain, world, plain_transport, plain_collective.get(), options);
    options.stage_gradients = true;
    DdpEngine staged_engine(staged, world, staged_transport, staged_collective.get(), options);
    for (uint64_t step = 0; step < 4; ++step) {
      auto x = Random({8, 20}, 100 * step + Rank(world));
      if (step == 2) x = x * std::numeric_limits<float>::infinity();
      const StepOutcome outcome = Step(plain_engine, plain, x, true, 1024);
      EXPECT_EQ(outcome, step == 2 ? StepOutcome::kVoid : StepOutcome::kCommitted);
      EXPECT_EQ(Step(staged_engine, staged, x, true, 1024), outcome);
      for (size_t i = 0; i < plain.parameters().size(); ++i) {
        const torch::Tensor& gradient = staged.parameters()[i].grad();
        EXPECT_TRUE(step == 2 ? gradient.isnan().all().item<bool>()
                              : torch::equal(plain.parameters()[i].grad(), gradient));
      }
      EXPECT_EQ(staged_collective->compressor()->memory().Save(),
                plain_collective->compressor()->memory().Save());
    }
  });
}

TEST_P(EngineStep, OverflowOfTheScaledLossIsAVoidStep) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    const auto collective = Residual(&transport);
    Net net(true);
    DdpEngine engine(net, world, transport, collective.get(), {});
    Step(engine, net, Random({8, 20}, Rank(world)));
    const MemoryState memory = collective->compressor()->memory().Save();
    engine.SyncBuffers();
    const torch::Tensor buffers = FlatDoubles(net.buffers());

    const auto x = Random({8, 20}, 10 + Rank(world)) * 100;
    EXPECT_EQ(Step(engine, net, x, true, 0x1p140), StepOutcome::kVoid);
    EXPECT_EQ(collective->compressor()->memory().Save(), memory);
    EXPECT_TRUE(torch::equal(FlatDoubles(net.buffers()), buffers));

    EXPECT_EQ(Step(engine, net, x, true, 1024), StepOutcome::kCommitted);
    EXPECT_NE(collective->compressor()->memory().Save(), memory);
    EXPECT_FALSE(torch::equal(FlatDoubles(net.buffers()), buffers));
  });
}

TEST_P(EngineStep, BuffersFollowRankZero) {
  const int ranks = GetParam();
  std::mutex mutex;
  std::vector<torch::Tensor> before(static_cast<size_t>(ranks)), after(before), in_step(before);
  RunRanks(ranks, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    Net net(true);
    DdpEngine engine(net, world, transport, collective.get(), {});
    for (uint64_t step = 0; step < 3; ++step) {
      Step(engine, net, Random({8, 20}, 100 * step + Rank(world)));
    }
    const auto own = FlatDoubles(net.buffers());
    engine.BeginStep();
    const auto of_step = FlatDoubles(net.buffers());
    const auto output = net.forward(Random({8, 20}, 7 + Rank(world)));
    engine.Backward(output, output.pow(2).mean());
    engine.EndStep();
    world.Barrier();
    const uint64_t sent = transport.traffic().sent;
    const auto last = FlatDoubles(net.buffers());
    engine.SyncBuffers();
    world.Barrier();
    // 80 means and variances of 4 bytes, a count of 8.
    if (world.rank() == 0 && ranks > 1) {
      EXPECT_GE(transport.traffic().sent - sent, 648u);
    }
    const std::lock_guard lock(mutex);
    const auto rank = static_cast<size_t>(world.rank());
    before[rank] = own;
    in_step[rank] = of_step;
    after[rank] = FlatDoubles(net.buffers());
    if (rank == 0) {
      EXPECT_TRUE(torch::equal(after[0], last)) << "rank 0 keeps its own";
    }
  });
  for (size_t rank = 1; rank < before.size(); ++rank) {
    EXPECT_FALSE(torch::equal(before[rank], before[0])) << "each has seen samples of its own";
    EXPECT_TRUE(torch::equal(in_step[rank], before[0]));
    EXPECT_TRUE(torch::equal(after[rank], after[0]));
  }
}

// Statistics that a bad batch has made NaN would be so for good.
TEST_P(EngineStep, AVoidStepLeavesNoTraceInBuffers) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    Net net(true);
    DdpEngine engine(net, world, transport, collective.get(), {});
    Step(engine, net, Random({8, 20}, Rank(world)));
    engine.SyncBuffers();
    const torch::Tensor buffers = FlatDoubles(net.buffers());
    auto x = Random({8, 20}, 10 + Rank(world));
    if (world.rank() == 0) x[3][5] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(Step(engine, net, x), StepOutcome::kVoid);
    EXPECT_TRUE(torch::equal(FlatDoubles(net.buffers()), buffers));
  });
}

Status FailureOfStep(DdpEngine& engine, Net& net, const torch::Tensor& x, bool with_spare) {
  try {
    Step(engine, net, x, with_spare);
  } catch (const StatusError& error) {
    return error.status();
  }
  return Status::Ok();
}

TEST_P(EngineStep, UnusedParametersAreToldByName) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    Net net(false);
    DdpEngine engine(net, world, transport, collective.get(), {});
    const Status failure = FailureOfStep(engine, net, Random({8, 20}, 1), false);
    EXPECT_EQ(failure.code(), StatusCode::kInvalidArgument) << failure.message();
    EXPECT_NE(failure.message().find("spare.bias, spare.weight; if that is meant, use "
                                     "--find-unused-parameters"),
              std::string::npos)
        << failure.message();
  });
}

// The others do not wait for it for ever.
TEST(EngineUnused, OnOneRankOnlyEndsAllRanks) {
  RunRanks(2, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    Net net(false);
    DdpEngine engine(net, world, transport, collective.get(), {});
    const bool with_spare = world.rank() == 0;
    const Status failure = FailureOfStep(engine, net, Random({8, 20}, 1), with_spare);
    EXPECT_EQ(failure.code(), with_spare ? StatusCode::kPeerLost : StatusCode::kInvalidArgument)
        << failure.message();
  });
}

// Which parameters a rank leaves out changes from step to step.
TEST_P(EngineStep, UnusedParametersCountAsZeroWhereTheyAreSearchedFor) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](World& world) {
    C10dTransport transport(world);
    const auto collective = MakeDenseCollective(&transport);
    Net net(false);
    DdpOptions search;
    search.find_unused_parameters = true;
    DdpEngine engine(net, world, transport, collective.get(), search);
    for (uint64_t step = 0; step < 6; ++step) {
      const auto uses = [&](uint64_t rank) { return (rank + step) % 3 != 0; };
      torch::Tensor expected = torch::zeros({80 * 4});
      for (uint64_t rank = 0; rank < static_cast<uint64_t>(ranks); ++rank) {
        if (!uses(rank)) continue;
        Net reference(false);
        reference.forward(Random({8, 20}, 10 * step + rank)).pow(2).mean().backward();
        expected += reference.spare->weight.grad().flatten() / ranks;
      }
      EXPECT_EQ(Step(engine, net, Random({8, 20}, 10 * step + Rank(world)), uses(Rank(world))),
                StepOutcome::kCommitted);
      const auto& gradient = net.spare->weight.grad();
      const auto got = gradient.defined() ? gradient.flatten() : torch::zeros({80 * 4});
      EXPECT_LT((got - expected).abs().max().item<double>(), 1e-6) << step;
    }
  });
}

// A run that goes on owes something to parameters that its first steps leave out.
TEST_P(EngineStep, WhatIsOwedToUnusedParametersArrives) {
  RunRanks(GetParam(), [&](World& world) {
    C10dTransport transport(world);
    DdpOptions search;
    search.find_unused_parameters = true;
    CompressorState saved;
    {
      const auto collective = Residual(&transport, 4);
      Net net(false);
      DdpEngine engine(net, world, transport, collective.get(), search);
      Step(engine, net, Random({8, 20}, Rank(world)));
      ASSERT_TRUE(collective->compression()->Save(&saved).ok());
    }
    const auto collective = Residual(&transport, 4);
    ASSERT_TRUE(collective->compression()->Load(saved).ok());
    ASSERT_TRUE(collective->compression()->SetRatio(1).ok());
    Net net(false);
    DdpEngine engine(net, world, transport, collective.get(), search);
    const double owed = collective->compression()->ResidualNorms().at("spare.weight");
    ASSERT_GT(owed, 0);
    Step(engine, net, Random({8, 20}, 10 + Rank(world)), /*with_spare=*/false);
    const auto& gradient = net.spare->weight.grad();
    ASSERT_TRUE(gradient.defined());
    const double got = gradient.norm().item<double>();
    EXPECT_GT(got, 0);
    if (world.size() == 1) {
      EXPECT_NEAR(got, owed, 1e-6 * owed);
    }
    EXPECT_EQ(collective->compression()->ResidualNorms().at("spare.weight"), 0);
  });
}

// Notes what comes in which bucket.
class NotingCollective final : public Collective {
 public:
  std::string_view name() const override { return "noting"; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }
  Status Exchange(const Bucket& bucket) override {
    buckets.resize(std::max<size_t>(buckets.size(), bucket.index + 1));
    for (const auto& parameter : bucket.parameters) {
      buckets[bucket.index].emplace_back(parameter.name);
    }
    return Status::Ok();
  }
  StepOutcome EndStep() override { return StepOutcome::kCommitted; }

  std::vector<std::vector<std::string>> buckets;
};

// The Reducer starts buckets in their order: the first ones must be ready first.
TEST(EngineBuckets, FirstOnesAreOfTheLastLayers) {
  for (const bool search : {false, true}) {
    RunRanks(1, [&](World& world) {
      C10dTransport transport(world);
      NotingCollective collective;
      Net net(false);
      DdpOptions options;
      options.bucket_bytes = options.first_bucket_bytes = 4 * 80 * 4;
      options.find_unused_parameters = search;
      DdpEngine engine(net, world, transport, &collective, options);
      Step(engine, net, Random({8, 20}, 1));
      ASSERT_GE(collective.buckets.size(), 3u);
      EXPECT_EQ(collective.buckets.front().front(), "spare.bias");
      EXPECT_EQ(collective.buckets.back().back(), "first.weight");
    });
  }
}

}  // namespace
}  // namespace cddp
