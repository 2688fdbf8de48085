// What the DDP engine costs when there is nobody to talk to: the step time of
// `cddp train` with one worker against that of a plain libtorch loop with the
// same model, data, batch and threads. Both alternate in one process; medians.
//
//   bench_engine_overhead [--json FILE]
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "core/median.h"
#include "trainer/data/image_samples.h"
#include "trainer/model.h"
#include "trainer/report_file.h"
#include "trainer/threads.h"
#include "trainer/training.h"

namespace cddp {
namespace {

constexpr int kRounds = 9;
constexpr uint32_t kSteps = 60;
constexpr int64_t kBatch = 64;

ImageDataset RandomImages(uint32_t count) {
  ImageDataset data{.count = count, .channels = 1, .rows = 28, .cols = 28};
  data.classes = 10;
  data.mean = {0.0f};
  data.std = {1.0f};
  std::mt19937 random(1);
  data.pixels.resize(size_t{count} * 28 * 28);
  for (uint8_t& pixel : data.pixels) pixel = static_cast<uint8_t>(random());
  for (uint32_t i = 0; i < count; ++i) data.labels.push_back(static_cast<uint8_t>(random() % 10));
  return data;
}

double PlainLoopMs(const ImageDataset& data, const TrainOptions& options) {
  const auto images = torch::from_blob(const_cast<uint8_t*>(data.pixels.data()),
                                       {data.count, 1, 28, 28}, torch::kByte);
  const auto labels =
      torch::from_blob(const_cast<uint8_t*>(data.labels.data()), {data.count}, torch::kByte)
          .to(torch::kLong);
  torch::manual_seed(options.seed);
  const auto model = MakeModel({.name = options.model});
  torch::optim::SGD optimizer(model->parameters(),
                              torch::optim::SGDOptions(options.lr).momentum(options.momentum));
  std::vector<double> step_ms;
  double loss_sum = 0, correct = 0;
  for (uint32_t step = 0; step < kSteps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const auto index = torch::arange(step * kBatch, (step + 1) * kBatch);
    const auto batch = images.index_select(0, index).to(torch::kFloat).mul_(1.0 / 255.0);
    const auto target = labels.index_select(0, index);
    optimizer.zero_grad();
    const auto logits = model->forward(batch);
    const auto loss = torch::nn::functional::cross_entropy(logits, target);
    loss.backward();
    optimizer.step();
    loss_sum += loss.item<double>();
    correct += logits.argmax(1).eq(target).sum().item<double>();
    step_ms.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  if (!(loss_sum > 0) || correct < 0) std::abort();
  return MedianOf(step_ms);
}

void Run(const std::string& json) {
  spdlog::set_level(spdlog::level::off);
  TrainOptions options{.epochs = 1, .batch_size = kBatch};
  Resolve(options);
  const ImageDataset images = RandomImages(kSteps * kBatch);
  const DatasetSplits data{.train = MakeImageSamples(images, {}),
                           .test = MakeImageSamples(RandomImages(100), {}),
                           .sha256 = {}};
  torch::set_num_threads(ThreadsPerWorker(options, 1));
  const auto world = World::Join({});

  std::vector<double> plain, engine, ratios;
  for (int round = 0; round < kRounds; ++round) {
    // Whoever is second must not always be so.
    if (round % 2 == 0) plain.push_back(PlainLoopMs(images, options));
    engine.push_back(Train(options, *world, data, nullptr).step_ms_median);
    if (round % 2 == 1) plain.push_back(PlainLoopMs(images, options));
    ratios.push_back(engine.back() / plain.back());
  }
  fmt::print("{} rounds of {} steps, batch {}, {} threads\n", kRounds, kSteps, kBatch,
             torch::get_num_threads());
  fmt::print("plain libtorch loop  {:8.2f} ms per step (median)\n", MedianOf(plain));
  fmt::print("cddp train           {:8.2f} ms per step (median)\n", MedianOf(engine));
  fmt::print("ratio                {:8.3f} (median of rounds)\n", MedianOf(ratios));
  WriteJsonReport(json, {{"plain_step_ms", plain},
                         {"engine_step_ms", engine},
                         {"ratio_median", MedianOf(ratios)},
                         {"steps", kSteps},
                         {"batch_size", kBatch},
                         {"threads", torch::get_num_threads()}});
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) {
  cddp::Run(argc == 3 && std::string(argv[1]) == "--json" ? argv[2] : "");
  return 0;
}
