// The optimisers against worked values, and the norm that clips their gradients.
//
// Values of Python's torch 1.13:
//
//   def run(make):
//     p = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
//     o = make([p])
//     for g in ([0.1, -0.2, 0.3], [0.2, 0.1, -0.4], [-0.3, 0.2, 0.1]):
//       p.grad = torch.tensor(g); o.step()
//     print([f"{v:.9g}" for v in p.tolist()])
//   run(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))
//   run(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True))
//   run(lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01))
//   run(lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1))
#include "trainer/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "trainer/adam.h"
#include "trainer/gradient_norm.h"
#include "trainer/lars.h"
#include "trainer/sgd.h"

namespace cddp {
namespace {

constexpr double kRate = 0.1;
const std::vector<std::vector<double>> kGradients = {
    {0.1, -0.2, 0.3}, {0.2, 0.1, -0.4}, {-0.3, 0.2, 0.1}};

torch::Tensor Parameter() {
  return torch::tensor({1.0f, -2.0f, 0.5f}, torch::kFloat).set_requires_grad(true);
}

void SetGradient(torch::Tensor& parameter, const std::vector<double>& gradient) {
  parameter.mutable_grad() = torch::tensor(gradient, torch::kFloat);
}

// The parameters after the three gradients.
std::vector<double> Trained(const TrainOptions& options) {
  torch::Tensor parameter = Parameter();
  const auto optimizer = MakeOptimizer(options, {parameter});
  for (const auto& gradient : kGradients) {
    SetGradient(parameter, gradient);
    TakeStep(*optimizer, kRate, options);
  }
  const torch::Tensor values = parameter.detach().to(torch::kDouble);
  return {values.data_ptr<double>(), values.data_ptr<double>() + 3};
}

void ExpectNear(const std::vector<double>& got, const std::vector<double>& expected,
                double tolerance = 1e-6) {
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << i;
}

TEST(Optimizer, Sgd) {
  ExpectNear(Trained({.weight_decay = 0.01}), {0.959352851, -1.97365558, 0.481971353});
  ExpectNear(Trained({.nesterov = true}), {0.968410015, -1.99632001, 0.486229986});
}

// After four steps, and with a parameter that has no gradient in the first.
template <class Own, class Libtorchs, class Options>
void ExpectSameBits(const Options& options) {
  torch::manual_seed(3);
  std::vector<at::Tensor> own, expected;
  for (const int64_t size : {1, 3, 1000}) {
    own.push_back(torch::randn({size}).set_requires_grad(true));
    expected.push_back(own.back().detach().clone().set_requires_grad(true));
  }
  Own of_ours(own, options);
  Libtorchs of_libtorch(expected, options);
  for (int step = 0; step < 4; ++step) {
    for (size_t i = 0; i < own.size(); ++i) {
      if (i == 1 && step == 0) continue;
      own[i].mutable_grad() = torch::randn_like(own[i].detach());
      expected[i].mutable_grad() = own[i].grad().clone();
    }
    of_ours.step();
    of_libtorch.step();
  }
  for (size_t i = 0; i < own.size(); ++i) EXPECT_TRUE(own[i].equal(expected[i])) << i;
}

TEST(Optimizer, SgdIsThatOfLibtorchToTheBit) {
  using torch::optim::SGDOptions;
  for (const SGDOptions& options : {SGDOptions(0.1), SGDOptions(0.1).momentum(0.9),
                                    SGDOptions(0.1).momentum(0.9).nesterov(true),
                                    SGDOptions(0.1).momentum(0.9).weight_decay(0.01)}) {
    ExpectSameBits<Sgd, torch::optim::SGD>(options);
  }
}

TEST(Optimizer, AdamIsThatOfLibtorchToTheBit) {
  for (const double decay : {0.0, 0.01}) {
    ExpectSameBits<Adam, torch::optim::Adam>(
        torch::optim::AdamOptions(0.1).betas({0.8, 0.99}).weight_decay(decay));
    ExpectSameBits<AdamW, torch::optim::AdamW>(
        torch::optim::AdamWOptions(0.1).betas({0.8, 0.99}).weight_decay(decay));
  }
}

TEST(Optimizer, Adam) {
  ExpectNear(
      Trained({.optimizer = "adam", .weight_decay = 0.01, .betas = {0.8, 0.99}, .eps = 1e-6}),
      {0.811595321, -1.89334953, 0.426294565});
}

TEST(Optimizer, AdamW) {
  ExpectNear(
      Trained({.optimizer = "adamw", .weight_decay = 0.1, .betas = {0.8, 0.99}, .eps = 1e-6}),
      {0.789416194, -1.85765171, 0.415916473});
}

// The memory has the momentum, and the decay is in the gradient that it was given.
TEST(Optimizer, SgdBehindTheMemoryDgcIsPlain) {
  TrainOptions dgc{.weight_decay = 0.01, .compress = true, .memory = "dgc"};
  ExpectNear(Trained(dgc), {1.0, -2.01, 0.5});  // less 0.1 times the sum of the gradients
}

// AdamW's decay must not go through the memory.
TEST(Optimizer, DecayOfOthersStaysWithThem) {
  TrainOptions options{.optimizer = "adamw",
                       .weight_decay = 0.1,
                       .betas = {0.8, 0.99},
                       .eps = 1e-6,
                       .compress = true,
                       .memory = "residual"};
  EXPECT_FALSE(MomentumInMemory(options));
  ExpectNear(Trained(options), {0.789416194, -1.85765171, 0.415916473});
}

double Norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

// You et al. 2017, Algorithm 1, in double precision.
TEST(Optimizer, LarsFollowsItsPaper) {
  constexpr double kMomentum = 0.9, kDecay = 0.05, kTrust = 0.02;
  std::vector<double> w{1.0, -2.0, 0.5}, v(3);
  for (const auto& g : kGradients) {
    const double local = kTrust * Norm(w) / (Norm(g) + kDecay * Norm(w));
    for (size_t i = 0; i < 3; ++i) {
      v[i] = kMomentum * v[i] + kRate * local * (g[i] + kDecay * w[i]);
      w[i] -= v[i];
    }
  }
  ExpectNear(Trained({.optimizer = "lars",
                      .momentum = kMomentum,
                      .weight_decay = kDecay,
                      .trust_coefficient = kTrust}),
             w);
  EXPECT_GT(std::abs(w[0] - 1.0), 1e-3);
}

TEST(Optimizer, LarsStepsFromZeroLikeSgd) {
  torch::Tensor parameter = torch::zeros({3}).set_requires_grad(true);
  Lars lars({parameter}, LarsOptions(kRate));
  SetGradient(parameter, kGradients[0]);
  lars.step();
  EXPECT_TRUE(torch::allclose(parameter, torch::tensor({-0.01f, 0.02f, -0.03f})));
}

TEST(ClipGradientNorm, ScalesAllGradientsByOneFactor) {
  torch::Tensor a = torch::zeros({2}).set_requires_grad(true);
  torch::Tensor b = torch::zeros({1}).set_requires_grad(true);
  const torch::Tensor without = torch::zeros({1}).set_requires_grad(true);
  a.mutable_grad() = torch::tensor({3.0f, 0.0f});
  b.mutable_grad() = torch::tensor({-4.0f});
  EXPECT_EQ(ClipGradientNorm({a, b, without}, 10), 5);
  EXPECT_EQ(a.grad()[0].item<float>(), 3.0f) << "is below";
  EXPECT_EQ(ClipGradientNorm({a, b, without}, 1), 5);
  EXPECT_TRUE(torch::allclose(a.grad(), torch::tensor({0.6f, 0.0f})));
  EXPECT_TRUE(torch::allclose(b.grad(), torch::tensor({-0.8f})));
}

// Workers may have different numbers of threads.
TEST(GradientNorm, IsTheSameWithAnyNumberOfThreads) {
  const torch::Tensor values = torch::randn({1'000'003});
  const int threads = torch::get_num_threads();
  torch::set_num_threads(1);
  const double one = L2Norm(values);
  torch::set_num_threads(4);
  EXPECT_EQ(L2Norm(values), one);
  torch::set_num_threads(threads);
  EXPECT_NEAR(one, values.to(torch::kDouble).norm().item<double>(), 1e-6);
}

}  // namespace
}  // namespace cddp
