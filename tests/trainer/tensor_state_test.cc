#include "trainer/tensor_state.h"

#include <gtest/gtest.h>

#include <functional>

#include "cddp/status.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/lars.h"

namespace cddp {
namespace {

namespace nn = torch::nn;

nn::Sequential MakeNet(int width) {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(2, width, 3).padding(1)),
                        nn::BatchNorm2d(width), nn::Flatten(), nn::Linear(width * 16, 3));
}

void TrainSteps(nn::Sequential& net, torch::optim::Optimizer& optimizer, int first, int last) {
  for (int step = first; step < last; ++step) {
    torch::manual_seed(static_cast<uint64_t>(step));
    optimizer.zero_grad();
    net->forward(torch::randn({4, 2, 4, 4})).pow(2).mean().backward();
    optimizer.step();
  }
}

bool SameTensors(const NamedTensors& a, const NamedTensors& b) {
  return a.size() == b.size() && std::ranges::equal(a, b, [](const auto& x, const auto& y) {
           return x.first == y.first && torch::equal(x.second, y.second);
         });
}

class TensorState : public testing::Test {
 protected:
  Safetensors Written(const NamedTensors& tensors) {
    const auto path = folder_.path() / "tensors";
    WriteSafetensors(path, TensorBytes(tensors).views(), {});
    return Safetensors::Read(path);
  }
  static std::string Refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kInvalidArgument);
      return error.what();
    }
    ADD_FAILURE() << "was loaded";
    return {};
  }
  TemporaryFolder folder_;
};

using OptimizerMaker =
    std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<at::Tensor>)>;

std::map<std::string, OptimizerMaker> Optimizers() {
  using namespace torch::optim;
  return {
      {"sgd", [](auto p) { return std::make_unique<SGD>(p, SGDOptions(0.1).momentum(0.9)); }},
      {"plain sgd", [](auto p) { return std::make_unique<SGD>(p, SGDOptions(0.1)); }},
      {"adam", [](auto p) { return std::make_unique<Adam>(p, AdamOptions(0.01).amsgrad(true)); }},
      {"adamw", [](auto p) { return std::make_unique<AdamW>(p, AdamWOptions(0.01)); }},
      {"lars", [](auto p) { return std::make_unique<Lars>(p, LarsOptions(0.1)); }},
  };
}

// Interrupted after 3 of 6 steps and loaded into new objects, training ends with the same bits.
TEST_F(TensorState, EveryOptimiserGoesOnToTheBit) {
  for (const auto& [name, make] : Optimizers()) {
    SCOPED_TRACE(name);
    torch::manual_seed(1);
    nn::Sequential whole = MakeNet(5);
    const auto optimizer = make(whole->parameters());
    TrainSteps(whole, *optimizer, 0, 3);
    const Safetensors weights = Written(ModuleTensors(*whole));
    const Safetensors states = Written(OptimizerTensors(*optimizer, *whole));
    EXPECT_EQ(states.tensors().empty(), name == "plain sgd");
    TrainSteps(whole, *optimizer, 3, 6);

    nn::Sequential resumed = MakeNet(5);
    const auto other = make(resumed->parameters());
    TrainSteps(resumed, *other, 0, 1);  // what it has is replaced
    CopyInto(weights, "FILE", ModuleTensors(*resumed));
    LoadOptimizer(states, *resumed, other.get());
    TrainSteps(resumed, *other, 3, 6);
    EXPECT_TRUE(SameTensors(ModuleTensors(*resumed), ModuleTensors(*whole)));
    EXPECT_TRUE(
        SameTensors(OptimizerTensors(*other, *resumed), OptimizerTensors(*optimizer, *whole)));
  }
}

TEST_F(TensorState, BuffersAndOtherMemoryFormatsAreKept) {
  nn::Sequential net = MakeNet(5);
  const NamedTensors tensors = ModuleTensors(*net);
  EXPECT_TRUE(tensors.contains("1.running_mean"));
  EXPECT_TRUE(tensors.contains("1.num_batches_tracked"));
  const Safetensors file = Written(tensors);
  EXPECT_EQ(file.tensors().at("1.num_batches_tracked").type, TensorType::kI64);

  nn::Sequential other = MakeNet(5);
  for (auto& parameter : other->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  CopyInto(file, "FILE", ModuleTensors(*other));
  EXPECT_TRUE(SameTensors(ModuleTensors(*other), tensors));
  EXPECT_TRUE(other->parameters()[0].is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_F(TensorState, AnotherModelsTensorsAreListed) {
  const Safetensors file = Written(ModuleTensors(*MakeNet(5)));
  nn::Sequential other = MakeNet(6);
  other->push_back("extra", nn::Linear(3, 3));
  const NamedTensors before = ModuleTensors(*other);
  const std::string refusal = Refusal([&] { CopyInto(file, "FILE", ModuleTensors(*other)); });
  for (const char* part :
       {"FILE is of another model", "0.weight: F32 [6, 2, 3, 3] in this model, F32 [5, 2, 3, 3]",
        "extra.bias: F32 [3] in this model, not in the file"}) {
    EXPECT_NE(refusal.find(part), std::string::npos) << refusal;
  }
  EXPECT_TRUE(SameTensors(before, ModuleTensors(*other)));
  nn::Sequential smaller(nn::Conv2d(nn::Conv2dOptions(2, 5, 3).padding(1)));
  EXPECT_NE(Refusal([&] {
              CopyInto(file, "FILE", ModuleTensors(*smaller));
            }).find("3.bias: F32 [3] in the file, not in this model"),
            std::string::npos);
}

TEST_F(TensorState, AnotherOptimisersStateIsRefused) {
  nn::Sequential net = MakeNet(5);
  const auto adam = Optimizers().at("adam")(net->parameters());
  TrainSteps(net, *adam, 0, 1);
  const Safetensors states = Written(OptimizerTensors(*adam, *net));
  const auto sgd = Optimizers().at("sgd")(net->parameters());
  EXPECT_NE(Refusal([&] { LoadOptimizer(states, *net, sgd.get()); }).find("another --optimizer"),
            std::string::npos);
  nn::Sequential other = MakeNet(6);
  const auto of_other = Optimizers().at("adam")(other->parameters());
  EXPECT_NE(Refusal([&] {
              LoadOptimizer(states, *other, of_other.get());
            }).find("0.bias/exp_avg is Float [5], its parameter Float [6]"),
            std::string::npos);
}

}  // namespace
}  // namespace cddp
