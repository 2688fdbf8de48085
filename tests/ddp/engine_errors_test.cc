// What the engine refuses, and how a failed collective comes out of it.
#include <gtest/gtest.h>

#include <stdexcept>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "ddp/c10d_transport.h"
#include "ddp/engine.h"
#include "tests/ddp/threaded_world.h"

namespace cddp {
namespace {

// The failure of an engine for `module` that must fail.
Status EngineFailure(torch::nn::Module& module, World& world, const DdpOptions& options = {}) {
  C10dTransport transport(world);
  const auto collective = MakeDenseCollective(&transport);
  try {
    DdpEngine engine(module, world, transport, collective.get(), options);
  } catch (const StatusError& error) {
    return error.status();
  }
  ADD_FAILURE() << "there is an engine";
  return Status::Ok();
}

void ExpectRefused(torch::nn::Module& module, const std::string& message) {
  RunRanks(1, [&](World& world) {
    const Status failure = EngineFailure(module, world);
    EXPECT_EQ(failure.code(), StatusCode::kInvalidArgument) << failure.message();
    EXPECT_NE(failure.message().find(message), std::string::npos) << failure.message();
  });
}

struct OneParameter : torch::nn::Module {
  explicit OneParameter(torch::Tensor values) { register_parameter("w", std::move(values)); }
};

TEST(EngineErrors, ParametersOfOtherTypesAreRefused) {
  OneParameter module(torch::zeros({3}, torch::kDouble));
  ExpectRefused(module, "parameter w is Double");
}

TEST(EngineErrors, ParametersWithoutValuesAreRefused) {
  OneParameter module(torch::empty({3}, torch::kMeta));
  ExpectRefused(module, "parameter w is on meta");
}

TEST(EngineErrors, ParametersOfTooManyElementsAreRefused) {
  // One element, seen 2^32 times.
  OneParameter module(torch::zeros({1, 1}).expand({1 << 16, 1 << 16}));
  ExpectRefused(module, "parameter w has 4294967296 elements");
}

TEST(EngineErrors, DifferentModulesAreRefusedOnEveryRank) {
  RunRanks(3, [&](World& world) {
    torch::nn::Linear layer(3, world.rank() == 1 ? 4 : 3);
    const Status failure = EngineFailure(*layer, world);
    EXPECT_EQ(failure.code(), StatusCode::kInvalidArgument) << failure.message();
    EXPECT_NE(failure.message().find("1 of 3 ranks"), std::string::npos) << failure.message();
  });
}

// Their entries would be taken for others.
TEST(EngineErrors, ParametersInAnotherOrderAreRefused) {
  RunRanks(2, [&](World& world) {
    torch::nn::Conv2d layer(torch::nn::Conv2dOptions(3, 4, 2));
    if (world.rank() == 1) {
      layer->weight.set_data(layer->weight.contiguous(at::MemoryFormat::ChannelsLast));
    }
    const Status failure = EngineFailure(*layer, world);
    EXPECT_EQ(failure.code(), StatusCode::kInvalidArgument) << failure.message();
    EXPECT_NE(failure.message().find("order in memory"), std::string::npos) << failure.message();
  });
}

// Fails as it is told, in the second step.
class FailingCollective final : public Collective {
 public:
  explicit FailingCollective(std::function<Status()> fail) : fail_(std::move(fail)) {}
  std::string_view name() const override { return "failing"; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }
  Status Exchange(const Bucket& bucket) override {
    return bucket.step == 0 ? Status::Ok() : fail_();
  }
  StepOutcome EndStep() override { return StepOutcome::kCommitted; }

 private:
  std::function<Status()> fail_;
};

void ExpectBackwardThrows(const std::function<Status()>& fail, const Status& expected) {
  RunRanks(1, [&](World& world) {
    C10dTransport transport(world);
    FailingCollective collective(fail);
    torch::nn::Linear layer(3, 3);
    DdpEngine engine(*layer, world, transport, &collective, {});
    for (int step = 0; step < 2; ++step) {
      engine.BeginStep();
      const auto output = layer->forward(torch::ones({2, 3}));
      if (step == 0) {
        engine.Backward(output, output.sum());
        continue;
      }
      try {
        engine.Backward(output, output.sum());
        ADD_FAILURE() << "nothing was thrown";
      } catch (const StatusError& error) {
        EXPECT_EQ(error.code(), expected.code());
        EXPECT_NE(std::string(error.what()).find(expected.message()), std::string::npos)
            << error.what();
      }
    }
  });
}

TEST(EngineErrors, BackwardThrowsWhatTheCollectiveReports) {
  ExpectBackwardThrows([] { return Status::Corrupt("frame of rank 7"); },
                       Status::Corrupt("frame of rank 7"));
  ExpectBackwardThrows([] { return Status::PeerLost("rank 5"); }, Status::PeerLost("rank 5"));
}

TEST(EngineErrors, BackwardThrowsWhatTheCollectiveThrows) {
  ExpectBackwardThrows([]() -> Status { throw std::runtime_error("out of luck"); },
                       Status::Internal("out of luck"));
}

}  // namespace
}  // namespace cddp
