// A model of your own, trained by several workers that send 1% of each gradient.
//
//   for rank in 0 1; do RANK=$rank WORLD_SIZE=2 build/own_model/own_model & done; wait
//   torchrun --no-python --nproc-per-node 2 build/own_model/own_model
#include <signal.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cstdio>

#include "cddp/collective.h"
#include "ddp/c10d_transport.h"
#include "ddp/engine.h"
#include "ddp/launch_environment.h"
#include "ddp/world.h"

namespace {

constexpr int kSteps = 300;

struct Net : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return out(torch::relu(hidden(x))); }

  torch::nn::Linear hidden = register_module("hidden", torch::nn::Linear(32, 512));
  torch::nn::Linear out = register_module("out", torch::nn::Linear(512, 8));
};

// A fixed function, to be learned from samples that differ from worker to worker.
torch::Tensor Teacher(const torch::Tensor& x) {
  return torch::tanh(x.slice(1, 0, 8) - x.slice(1, 8, 16));
}

// The entries of 1% of each gradient go to the workers that own them, which send on the largest.
// What is not sent waits in a memory, here without momentum.
std::unique_ptr<cddp::Collective> MakeCollective(cddp::Transport* transport) {
  const cddp::CompressorOptions compression{.ratio = 0.01,
                                            .memory = {.name = "residual"},
                                            .format = {.values = cddp::ValueFormat::kInt4}};
  std::unique_ptr<cddp::Collective> collective;
  cddp::ThrowIfError(
      cddp::MakeSplitCollective(transport, compression, /*owner_budget=*/1, &collective));
  return collective;
}

void Train(cddp::World& world) {
  cddp::C10dTransport transport(world);
  const auto collective = MakeCollective(&transport);
  torch::manual_seed(0);
  const auto model = std::make_shared<Net>();
  cddp::DdpEngine engine(*model, world, transport, collective.get(), {});  // all get rank 0's
  torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.2));

  torch::manual_seed(1 + world.rank());  // other samples on each worker
  for (int step = 1; step <= kSteps; ++step) {
    engine.BeginStep();  // zeroes the gradients
    const torch::Tensor x = torch::randn({64, 32});
    const torch::Tensor output = model->forward(x);
    const torch::Tensor loss = torch::mse_loss(output, Teacher(x));
    engine.Backward(output, loss);  // the gradients are the workers' mean when it returns
    // A step in which any worker's gradient was not finite is void, on all of them.
    if (engine.EndStep() == cddp::StepOutcome::kCommitted) optimizer.step();
    if (step % 100 == 0 && world.rank() == 0) {
      std::printf("step %d: loss %.4f, %.0f bytes sent per step (gradient: %.0f)\n", step,
                  loss.item<double>(), static_cast<double>(transport.traffic().sent) / step,
                  4.0 * (32 * 512 + 512 + 512 * 8 + 8));
    }
  }
}

}  // namespace

int main() try {
  // A write to a worker that is gone is to be an error, which names it, not the end.
  signal(SIGPIPE, SIG_IGN);
  cddp::WorldOptions options;
  options.launch = cddp::ReadLaunchEnvironment();  // torchrun's variables, mpirun's, srun's
  // Called on a thread of its own; this one may be waiting for the worker that was lost.
  options.on_lost = [](const cddp::Loss& loss) {
    std::fprintf(stderr, "rank %d was lost: %s\n", loss.rank, loss.reason.c_str());
    _exit(3);
  };
  const auto world = cddp::World::Join(options);
  Train(*world);
  world->Leave();  // or this worker's end would be a loss to the others
  return 0;
} catch (const cddp::StatusError& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
