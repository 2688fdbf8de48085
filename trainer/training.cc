#include "trainer/training.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "ddp/c10d_transport.h"
#include "ddp/engine.h"
#include "trainer/metrics_log.h"
#include "trainer/model.h"
#include "trainer/plan_file.h"
#include "trainer/progress.h"
#include "trainer/recording_collective.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"
#include "trainer/step_log.h"
#include "trainer/tensor_dataset.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxVoidStepsInARow = 20;
constexpr int64_t kEvaluationBatch = 500;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Sums over the samples seen by one worker.
struct Tally {
  double loss = 0;
  double correct = 0;
  double samples = 0;

  void Add(const at::Tensor& logits, const at::Tensor& labels, double loss_sum) {
    loss += loss_sum;
    correct += logits.argmax(1).eq(labels).sum().item<double>();
    samples += static_cast<double>(labels.size(0));
  }
  Tally& operator+=(const Tally& other) {
    loss += other.loss;
    correct += other.correct;
    samples += other.samples;
    return *this;
  }
  // Of no samples there is no mean: not a number, null in JSON.
  double mean_loss() const { return samples > 0 ? loss / samples : std::nan(""); }
  double accuracy_percent() const { return samples > 0 ? 100.0 * correct / samples : 0.0; }
};

Tally SumOverWorkers(World& world, const Tally& tally) {
  std::vector<double> sums{tally.loss, tally.correct, tally.samples};
  world.Sum(sums);
  return {sums[0], sums[1], sums[2]};
}

std::unique_ptr<Collective> MakeCollective(const TrainOptions& options, int rank,
                                           Transport* transport) {
  auto collective = MakeTrainingCollective(options, torch::get_num_threads(), transport);
  if (rank != 0 || options.record_gradients.empty()) return collective;
  return MakeRecordingCollective(
      {.file = options.record_gradients, .every = static_cast<uint64_t>(options.record_every)},
      std::move(collective));
}

uint32_t CheckedBatchSize(const TrainOptions& options, int world_size, const DatasetSplits& data) {
  RequireBatchFits(options, world_size, data);
  return static_cast<uint32_t>(options.batch_size);
}

class TrainingRun {
 public:
  // `folder`: of rank 0, or null.
  TrainingRun(const TrainOptions& options, World& world, const DatasetSplits& data,
              const RunFolder* folder)
      : options_(options),
        world_(world),
        train_(data.train),
        test_(data.test),
        samples_(SamplesPerEpoch(options, data)),
        sampler_(samples_, world.size(), world.rank(),
                 CheckedBatchSize(options, world.size(), data), options.seed),
        transport_(world),
        collective_(MakeCollective(options, world.rank(), &transport_)),
        folder_(folder),
        metrics_(folder == nullptr
                     ? nullptr
                     : std::make_unique<MetricsLog>(folder->path(), options.tensorboard)),
        log_(metrics_.get(), options.log_every, collective_.get(),
             [this] { return transport_.traffic(); }) {
    torch::manual_seed(options.seed);
    model_ = MakeModel(options.model, data.train.classes);
    const auto bucket_bytes = static_cast<int64_t>(options.bucket_mb * (1 << 20));
    DdpOptions ddp;
    ddp.bucket_bytes = bucket_bytes;
    ddp.first_bucket_bytes = std::min(ddp.first_bucket_bytes, bucket_bytes);
    torch::optim::SGDOptions sgd(options.lr);
    if (options.compress && options.memory == "dgc") {
      // The memory is the optimiser's momentum: weight decay has to come before it.
      ddp.weight_decay = options.weight_decay;
      spdlog::info("memory dgc: momentum {} is in the memory, the optimiser runs without",
                   options.momentum);
    } else {
      sgd.momentum(options.momentum).nesterov(options.nesterov).weight_decay(options.weight_decay);
    }
    engine_ = std::make_unique<DdpEngine>(*model_, world, collective_.get(), ddp);
    optimizer_ = std::make_unique<torch::optim::SGD>(engine_->parameters(), sgd);
    // Dropout draws differ between the workers.
    torch::manual_seed(options.seed +
                       0x9e3779b97f4a7c15ull * (1 + static_cast<uint64_t>(world.rank())));
  }

  TrainingSummary Run() {
    TrainingSummary summary;
    summary.compress = options_.compress;
    summary.ratio = options_.compress ? options_.ratio : 1.0;
    summary.memory = options_.compress ? options_.memory : "none";
    summary.collective = std::string(collective_->name());
    summary.dataset = options_.dataset;
    summary.model = options_.model;
    summary.world_size = world_.size();
    summary.parameters = CountParameters(*model_);

    double images = 0;
    double seconds = 0;
    for (int epoch = 1; epoch <= options_.epochs; ++epoch) {
      const EpochRecord record = Epoch(epoch);
      summary.history.push_back(record);
      summary.epochs = epoch;
      summary.steps = engine_->steps();
      summary.void_steps += record.void_steps;
      summary.test_accuracy_percent = record.test_accuracy_percent;
      summary.test_loss = record.test_loss;
      images += samples_;
      seconds += record.epoch_s;
      summary.images_per_s = images / seconds;
      summary.epoch_s_mean = seconds / epoch;
      summary.step_ms_median = Median(step_ms_);
      // Epochs have equally many steps.
      const double share = 1.0 / epoch;
      summary.tx_bytes_per_step += share * (record.tx_bytes_per_step - summary.tx_bytes_per_step);
      summary.rx_bytes_per_step += share * (record.rx_bytes_per_step - summary.rx_bytes_per_step);
      if (const Compressor* compressor = collective_->compressor()) {
        const CompressionStatistics& statistics = compressor->statistics();
        summary.second_sweep_fraction =
            static_cast<double>(statistics.second_sweeps) /
            std::max<double>(1.0, static_cast<double>(statistics.selections));
      }
      summary.parameters_xxh3 = fmt::format("{:016x}", RequireIdenticalReplicas());
      if (folder_ != nullptr) {
        metrics_->Append("epoch", engine_->steps(), ToJson(record));
        folder_->Write(summary);
        if (collective_->plan() != nullptr) {
          WriteWhole(folder_->path() / "plan.json", ToJson(*collective_->plan()).dump(1) + '\n');
        }
      }
      spdlog::info(
          "epoch {}/{}: loss {:.4f}, accuracy {:.2f}%, test loss {:.4f}, test accuracy {:.2f}%, "
          "{:.1f} s, {:.0f} images/s, {} sent per worker and step",
          epoch, options_.epochs, record.train_loss, record.train_accuracy_percent,
          record.test_loss, record.test_accuracy_percent, record.epoch_s, record.images_per_s,
          FormatBytes(record.tx_bytes_per_step));
    }
    if (!std::isfinite(summary.test_loss)) {
      throw StatusError(StatusCode::kDiverged,
                        fmt::format("training has diverged: the test loss is not finite after {} "
                                    "epoch(s); lower --lr",
                                    summary.epochs));
    }
    return summary;
  }

 private:
  EpochRecord Epoch(int epoch) {
    sampler_.SetEpoch(static_cast<uint64_t>(epoch - 1));
    if (Compressor* compressor = collective_->compressor()) {
      ThrowIfError(
          compressor->SetRatio(WarmUpRatio(options_.ratio, epoch, options_.warmup_epochs)));
    }
    model_->train();
    world_.Barrier();
    const TrafficBytes before = transport_.traffic();
    log_.BeginEpoch();
    const auto start = Clock::now();
    const uint32_t steps = sampler_.steps_per_epoch();
    Tally tally;
    EpochRecord record;
    {
      ProgressBar bar(fmt::format("epoch {}/{}", epoch, options_.epochs), steps,
                      world_.rank() == 0 && spdlog::should_log(spdlog::level::info));
      for (uint32_t step = 0; step < steps; ++step) {
        record.void_steps += Step(epoch, step, steps, &tally) == StepOutcome::kVoid;
        bar.Update(step + 1, [&] {
          const double done = static_cast<double>(step + 1);
          const double sent = static_cast<double>(transport_.traffic().sent - before.sent);
          return fmt::format(
              "loss {:.4f} acc {:.2f}% {:.0f} images/s {}/step", tally.mean_loss(),
              tally.accuracy_percent(),
              done * static_cast<double>(sampler_.GlobalBatch(0)) / Seconds(Clock::now() - start),
              FormatBytes(sent / done));
        });
      }
    }
    const double own_seconds = Seconds(Clock::now() - start);
    record.means = log_.EpochMeans();
    // After the barrier everything that was sent has arrived.
    world_.Barrier();
    const TrafficBytes after = transport_.traffic();
    std::vector<double> sums{static_cast<double>(after.sent - before.sent),
                             static_cast<double>(after.received - before.received), own_seconds};
    world_.Sum(sums);
    const double worker_steps = static_cast<double>(steps) * world_.size();
    const Tally trained = SumOverWorkers(world_, tally);
    const Tally tested = Evaluate();

    record.epoch = epoch;
    record.train_loss = trained.mean_loss();
    record.train_accuracy_percent = trained.accuracy_percent();
    record.test_loss = tested.mean_loss();
    record.test_accuracy_percent = tested.accuracy_percent();
    record.learning_rate = learning_rate_;
    record.epoch_s = sums[2] / world_.size();
    record.images_per_s = static_cast<double>(samples_) / record.epoch_s;
    record.tx_bytes_per_step = sums[0] / worker_steps;
    record.rx_bytes_per_step = sums[1] / worker_steps;
    return record;
  }

  StepOutcome Step(int epoch, uint32_t step, uint32_t steps_per_epoch, Tally* tally) {
    const auto start = Clock::now();
    log_.BeginStep();
    SetLearningRate(static_cast<uint64_t>(steps_per_epoch) *
                    static_cast<uint64_t>(options_.epochs));

    // A worker without samples joins with one of weight zero.
    constexpr int64_t kFirst = 0;
    const std::span<const int64_t> batch = sampler_.Batch(step);
    const auto [images, labels] = train_.Take(batch.empty() ? std::span(&kFirst, 1) : batch);
    // The workers' gradients are averaged: so weighted, the mean over workers is
    // the mean over the samples of the global batch.
    const double weight =
        batch.empty() ? 0.0 : static_cast<double>(world_.size()) / sampler_.GlobalBatch(step);

    log_.Lap(StepPhase::kData);
    engine_->BeginStep();
    const at::Tensor logits = model_->forward(images);
    const at::Tensor loss_sum = torch::nn::functional::cross_entropy(
        logits, labels, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    log_.Lap(StepPhase::kForward);
    engine_->Backward(logits, loss_sum * weight);
    log_.Lap(StepPhase::kBackward);
    log_.Move(StepPhase::kBackward, StepPhase::kExposed, engine_->exposed());
    const StepOutcome outcome = engine_->EndStep();
    if (outcome == StepOutcome::kCommitted) {
      optimizer_->step();
      void_in_a_row_ = 0;
    } else {
      CountVoidStep();
    }
    log_.Lap(StepPhase::kOptimizer);
    // The loss of a void step may be anything, and would be that of the whole epoch.
    Tally own;
    if (!batch.empty() && outcome == StepOutcome::kCommitted) {
      own.Add(logits, labels, loss_sum.item<double>());
      *tally += own;
    }
    log_.EndStep({.step = engine_->steps(),
                  .epoch = epoch,
                  .learning_rate = learning_rate_,
                  .loss = own.loss,
                  .correct = own.correct,
                  .samples = own.samples,
                  .global_samples = static_cast<double>(sampler_.GlobalBatch(step))});
    step_ms_.push_back(1e3 * Seconds(Clock::now() - start));
    return outcome;
  }

  void SetLearningRate(uint64_t total_steps) {
    learning_rate_ = options_.lr * ScheduleFactor(options_.schedule, engine_->steps(), total_steps);
    for (auto& group : optimizer_->param_groups()) {
      static_cast<torch::optim::SGDOptions&>(group.options()).lr(learning_rate_);
    }
  }

  void CountVoidStep() {
    ++void_in_a_row_;
    spdlog::warn("step {} is void: some gradient is not finite; parameters and memories stay",
                 engine_->steps());
    if (void_in_a_row_ < kMaxVoidStepsInARow) return;
    throw StatusError(StatusCode::kDiverged,
                      fmt::format("training has diverged: {} steps in a row had non-finite "
                                  "gradients (last: step {}); lower --lr",
                                  void_in_a_row_, engine_->steps()));
  }

  Tally Evaluate() {
    const torch::NoGradGuard no_grad;
    model_->eval();
    const int64_t begin = test_.size() * world_.rank() / world_.size();
    const int64_t end = test_.size() * (world_.rank() + 1) / world_.size();
    Tally tally;
    for (int64_t at = begin; at < end; at += kEvaluationBatch) {
      const auto [images, labels] = test_.Range(at, std::min(at + kEvaluationBatch, end));
      const at::Tensor logits = model_->forward(images);
      const at::Tensor loss = torch::nn::functional::cross_entropy(
          logits, labels, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
      tally.Add(logits, labels, loss.item<double>());
    }
    return SumOverWorkers(world_, tally);
  }

  uint64_t RequireIdenticalReplicas() {
    uint64_t hash = 0;
    for (const at::Tensor& parameter : engine_->parameters()) {
      const at::Tensor flat = parameter.detach().contiguous();
      hash = XXH3_64bits_withSeed(flat.data_ptr(), flat.nbytes(), hash);
    }
    std::vector<double> differing{world_.AgreeOnNumber(hash) == hash ? 0.0 : 1.0};
    world_.Sum(differing);
    if (differing[0] != 0) {
      throw StatusError(StatusCode::kInternal,
                        fmt::format("the parameters of {:.0f} of {} workers differ from rank 0's",
                                    differing[0], world_.size()));
    }
    return hash;
  }

  static double Median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  const TrainOptions& options_;
  World& world_;
  TensorDataset train_, test_;
  uint32_t samples_;
  DistributedSampler sampler_;
  C10dTransport transport_;
  std::unique_ptr<Collective> collective_;
  const RunFolder* folder_;
  std::unique_ptr<MetricsLog> metrics_;
  StepLog log_;
  std::shared_ptr<Classifier> model_;
  std::unique_ptr<DdpEngine> engine_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
  double learning_rate_ = 0;
  int void_in_a_row_ = 0;
  std::vector<double> step_ms_;
};

}  // namespace

TrainingSummary Train(const TrainOptions& options, World& world, const DatasetSplits& data,
                      const RunFolder* folder) {
  return TrainingRun(options, world, data, world.rank() == 0 ? folder : nullptr).Run();
}

uint32_t SamplesPerEpoch(const TrainOptions& options, const DatasetSplits& data) {
  if (options.max_train_samples == 0) return data.train.count;
  return std::min(options.max_train_samples, data.train.count);
}

void RequireBatchFits(const TrainOptions& options, int world_size, const DatasetSplits& data) {
  const uint32_t samples = SamplesPerEpoch(options, data);
  const int64_t shard = samples / world_size;
  if (options.batch_size <= shard) return;
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("--batch-size {} is larger than a worker's share of the data: {} samples over "
                  "{} workers are {} each",
                  options.batch_size, samples, world_size, shard));
}

std::unique_ptr<Collective> MakeTrainingCollective(const TrainOptions& options, int threads,
                                                   Transport* transport) {
  if (!options.compress) return MakeDenseCollective(transport);
  FrameFormat format{.stochastic = options.stochastic_rounding, .seed = options.seed};
  ThrowIfError(ParseIndexFormat(options.indices, &format.indices));
  ThrowIfError(ParseValueFormat(options.values, &format.values));
  const CompressorOptions compression{
      .ratio = options.ratio,
      .selector = {.name = options.selector, .threads = threads, .seed = options.seed},
      .memory = {.name = options.memory,
                 .momentum = options.memory == "dgc" ? options.momentum : 0.0,
                 .nesterov = options.nesterov,
                 .clip_norm = options.clip_norm},
      .format = format,
      .adaptive_every = static_cast<uint32_t>(options.adaptive_ratio)};
  std::unique_ptr<Collective> collective;
  if (options.collective == "auto") {
    const std::optional<Plan> frozen =
        options.plan.empty() ? std::nullopt : std::optional(ReadPlan(options.plan));
    ThrowIfError(MakeAutoCollective(transport,
                                    {.compression = compression,
                                     .owner_budget = options.owner_budget,
                                     .frozen = frozen ? &*frozen : nullptr,
                                     .log = [](const std::string& lines) { spdlog::info(lines); }},
                                    &collective));
    return collective;
  }
  if (options.collective == "split") {
    ThrowIfError(MakeSplitCollective(transport, compression, options.owner_budget, &collective));
    return collective;
  }
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create(compression, &compressor));
  return MakeGatherCollective(transport, std::move(compressor));
}

int ThreadsPerWorker(const TrainOptions& options, int local_workers) {
  if (options.threads > 0) return options.threads;
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, cores / local_workers);
}

}  // namespace cddp
