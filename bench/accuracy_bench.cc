#include "bench/accuracy_bench.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "collective/counting_transport.h"
#include "core/worker_pool.h"
#include "trainer/evaluation.h"
#include "trainer/load_dataset.h"
#include "trainer/machine.h"
#include "trainer/model.h"
#include "trainer/optimizer.h"
#include "trainer/progress.h"
#include "trainer/report_file.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"
#include "trainer/tensor_batch.h"
#include "trainer/threads.h"
#include "trainer/training.h"
#include "trainer/training_collective.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

// One rank's part: its samples, its gradient and its end of the collective.
struct Rank {
  DistributedSampler sampler;
  std::unique_ptr<Transport> wire;
  std::unique_ptr<CountingTransport> transport;
  std::unique_ptr<Collective> collective;
  std::vector<float> gradient;
  Status status;
};

class InProcessTraining {
 public:
  InProcessTraining(const TrainOptions& options, const DatasetSplits& data)
      : options_(options),
        train_(*data.train),
        test_(*data.test),
        tested_(SamplesTested(options, data)),
        pool_(options.workers) {
    torch::manual_seed(options.seed);
    model_ = MakeModel(ModelFor(options, train_.format()));
    uint32_t offset = 0;
    for (const auto& item : model_->named_parameters()) {
      const auto count = static_cast<uint32_t>(item.value().numel());
      layout_.push_back({item.key(), offset, count});
      parameters_.push_back(item.value());
      offset += count;
    }
    optimizer_ = MakeOptimizer(options, parameters_);

    const uint32_t samples = SamplesPerEpoch(options, data);
    auto transports = MakeInProcessTransports(options.workers, std::chrono::minutes(10));
    for (int r = 0; r < options.workers; ++r) {
      Rank& rank = ranks_.emplace_back(Rank{
          .sampler = DistributedSampler(samples, options.workers, r,
                                        static_cast<uint32_t>(options.batch_size), options.seed),
          .wire = std::move(transports[static_cast<size_t>(r)]),
          .transport = nullptr,
          .collective = nullptr,
          .gradient = std::vector<float>(offset),
          .status = Status::Ok()});
      rank.transport = std::make_unique<CountingTransport>(rank.wire.get());
      rank.collective =
          MakeTrainingCollective(options, at::kCPU, /*threads=*/1, rank.transport.get());
    }
  }

  nlohmann::json Run() {
    nlohmann::json history = nlohmann::json::array();
    const auto start = Clock::now();
    for (int epoch = 1; epoch <= options_.epochs; ++epoch) history.push_back(Epoch(epoch));

    nlohmann::json report = ToJson(options_);
    report["history"] = history;
    report["steps"] = step_;
    report["test_accuracy_percent"] = history.back()["test_accuracy_percent"];
    report["test_loss"] = history.back()["test_loss"];
    report["seconds"] = std::chrono::duration<double>(Clock::now() - start).count();
    if (const Compression* compression = ranks_[0].collective->compression()) {
      const CompressionStatistics& statistics = compression->statistics();
      report["frame_bytes_per_step"] =
          static_cast<double>(statistics.bytes_out) / static_cast<double>(step_);
      // All that a rank sends to the others, owners' frames and agreed sizes included.
      double exchanged = 0;
      for (const Rank& rank : ranks_) {
        exchanged += static_cast<double>(rank.transport->exchanged_bytes());
      }
      report["exchanged_bytes_per_step"] =
          exchanged / static_cast<double>(ranks_.size()) / static_cast<double>(step_);
      report["second_sweep_fraction"] =
          static_cast<double>(statistics.second_sweeps) /
          std::max<double>(1.0, static_cast<double>(statistics.selections));
    }
    return report;
  }

 private:
  nlohmann::json Epoch(int epoch) {
    epoch_ = static_cast<uint64_t>(epoch - 1);
    for (Rank& rank : ranks_) {
      rank.sampler.SetEpoch(epoch_);
    }
    model_->train();
    const auto accumulate = static_cast<uint32_t>(options_.accumulate);
    const uint32_t steps = OptimizerSteps(ranks_[0].sampler, accumulate);
    const RateSchedule schedule(options_, options_.workers, steps);
    double loss = 0;  // sum over the samples so far
    double targets = 0;
    {
      ProgressBar bar(fmt::format("epoch {}/{}", epoch, options_.epochs), 0, steps,
                      spdlog::should_log(spdlog::level::info));
      for (uint32_t step = 0; step < steps; ++step) {
        for (Rank& rank : ranks_) {
          if (Compression* compression = rank.collective->compression()) {
            ThrowIfError(compression->SetRatio(WarmUpRatio(options_, epoch, step_)));
          }
        }
        const AccumulatedBatches batches = BatchesOf(ranks_[0].sampler, step, accumulate);
        loss += Step(batches, schedule.Rate(step_++));
        targets += TargetsOf(batches);
        bar.Update(step + 1, [&] { return fmt::format("loss {:.4f}", loss / targets); });
      }
    }
    nlohmann::json record = Evaluate();
    record["epoch"] = epoch;
    record["train_loss"] = loss / targets;
    spdlog::info("epoch {}/{}: loss {:.4f}, test accuracy {:.2f}%", epoch, options_.epochs,
                 loss / targets, record["test_accuracy_percent"].get<double>());
    return record;
  }

  // Of the batches' samples over all ranks.
  double TargetsOf(const AccumulatedBatches& batches) const {
    return static_cast<double>(batches.samples) * train_.format().targets_per_sample();
  }

  // Returns the sum of the losses of all samples.
  double Step(const AccumulatedBatches& batches, double rate) {
    double loss = 0;
    const std::vector<at::Tensor> buffers = model_->buffers();
    std::vector<at::Tensor> of_rank_0;  // which the others follow
    for (size_t r = 0; r < ranks_.size(); ++r) {
      loss += Gradient(r, batches);
      if (r > 0) continue;
      for (const at::Tensor& buffer : buffers) of_rank_0.push_back(buffer.clone());
    }
    for (size_t b = 0; b < buffers.size(); ++b) buffers[b].copy_(of_rank_0[b]);
    pool_.Run([this](int r) {
      Rank& rank = ranks_[static_cast<size_t>(r)];
      rank.status = rank.collective->AllReduceMean(
          {.step = step_ - 1, .index = 0, .values = rank.gradient, .parameters = layout_});
    });
    bool committed = true;
    for (Rank& rank : ranks_) {
      ThrowIfError(rank.status);
      committed &= rank.collective->EndStep() == StepOutcome::kCommitted;
    }
    if (!committed) {
      throw StatusError(StatusCode::kDiverged,
                        fmt::format("training has diverged: a gradient of step {} is not finite; "
                                    "lower --lr",
                                    step_));
    }
    for (size_t p = 0; p < parameters_.size(); ++p) {
      parameters_[p].mutable_grad().copy_(
          View(ranks_[0].gradient, layout_[p]).view(parameters_[p].sizes()));
    }
    TakeStep(*optimizer_, rate, options_);
    return loss;
  }

  // Fills the gradient of rank `r`; returns the sum of its samples' losses.
  double Gradient(size_t r, const AccumulatedBatches& batches) {
    Rank& rank = ranks_[r];
    for (at::Tensor& parameter : parameters_) {
      if (parameter.grad().defined()) parameter.mutable_grad().zero_();
    }
    // So weighted, the mean over ranks is the mean over the targets.
    const double weight = static_cast<double>(ranks_.size()) / TargetsOf(batches);
    double loss = 0;
    for (uint32_t i = 0; i < batches.count; ++i) {
      const std::span<const int64_t> batch = rank.sampler.Batch(batches.first + i);
      if (batch.empty()) continue;
      // Dropout draws differ between ranks and batches.
      const uint64_t draw =
          ((step_ - 1) * static_cast<uint64_t>(options_.accumulate) + i + 1) * ranks_.size() + r +
          1;
      torch::manual_seed(options_.seed + 0x9e3779b97f4a7c15ull * draw);
      train_.Make(batch, epoch_, &batch_);
      const auto [inputs, targets] = AsTensors(batch_, train_.format());
      const Prediction prediction =
          Predict(*model_, inputs, targets, options_.amp, options_.label_smoothing);
      (prediction.loss_sum * weight).backward();
      loss += prediction.loss_sum.item<double>();
    }
    const torch::NoGradGuard no_grad;
    for (size_t p = 0; p < parameters_.size(); ++p) {
      at::Tensor gradient = View(rank.gradient, layout_[p]);
      if (parameters_[p].grad().defined()) {
        gradient.copy_(parameters_[p].grad().flatten());
      } else {
        gradient.zero_();
      }
      // Where the memory holds the momentum, weight decay has to come before it.
      if (MomentumInMemory(options_) && options_.weight_decay != 0) {
        gradient.add_(parameters_[p].flatten(), options_.weight_decay);
      }
    }
    return loss;
  }

  static at::Tensor View(std::vector<float>& gradient, const BucketParameter& parameter) {
    return torch::from_blob(gradient.data() + parameter.offset, {parameter.count}, torch::kFloat);
  }

  nlohmann::json Evaluate() {
    Tally tally;
    ForEachBatch(
        *model_, test_, {.end = tested_, .amp = options_.amp}, [&](const EvaluatedBatch& batch) {
          tally += TallyOf(batch.prediction.logits, batch.targets, batch.prediction.loss_sum);
        });
    return {{"test_loss", tally.mean_loss()}, {"test_accuracy_percent", tally.accuracy_percent()}};
  }

  const TrainOptions& options_;
  const Samples& train_;
  const Samples& test_;
  const int64_t tested_;
  Batch batch_;
  uint64_t epoch_ = 0;
  std::vector<Rank> ranks_;
  WorkerPool pool_;  // a thread per rank: they wait for each other
  std::shared_ptr<Model> model_;
  std::vector<at::Tensor> parameters_;
  std::vector<BucketParameter> layout_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  uint64_t step_ = 0;
};

}  // namespace

int AccuracyBench(const TrainOptions& options) {
  RequireWritableReport(options.json);
  torch::set_num_threads(ThreadsPerWorker(options, /*local_workers=*/1));
  const DatasetSplits data = LoadOrFetchDataset(options);
  RequireBatchFits(options, options.workers, data);
  spdlog::info("{} ranks in this process, {}", options.workers,
               options.compress ? fmt::format("{} {}%, memory {}", options.selector,
                                              100 * options.ratio, options.memory)
                                : "dense gradients");
  nlohmann::json report = InProcessTraining(options, data).Run();
  report["machine"] = MachineDescription();
  if (!std::isfinite(report["test_loss"].get<double>())) {
    throw StatusError(StatusCode::kDiverged,
                      "training has diverged: the test loss is not finite; lower --lr");
  }
  spdlog::info("test accuracy {:.2f}%", report["test_accuracy_percent"].get<double>());
  WriteJsonReport(options.json, report);
  return 0;
}

}  // namespace cddp
