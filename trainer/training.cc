// Longer than other files: a run is one object, and what its steps, epochs and checkpoints share is
// all that they have.
#include "trainer/training.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "core/median.h"
#include "ddp/c10d_transport.h"
#include "ddp/device_transport.h"
#include "trainer/batches.h"
#include "trainer/epoch_meter.h"
#include "trainer/evaluation.h"
#include "trainer/failure.h"
#include "trainer/load_dataset.h"
#include "trainer/model.h"
#include "trainer/progress.h"
#include "trainer/replicas.h"
#include "trainer/run_checkpoints.h"
#include "trainer/run_output.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"
#include "trainer/step_log.h"
#include "trainer/torch_device.h"
#include "trainer/train_step.h"
#include "trainer/training_collective.h"
#include "trainer/training_progress.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

std::string TestedWords(const EpochRecord& record) {
  return record.test_bits_per_byte
             ? fmt::format("{:.3f} bits per byte", *record.test_bits_per_byte)
             : fmt::format("test accuracy {:.2f}%", record.test_accuracy_percent);
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// A plan is of the buckets that it was made for. It stays settled while what else it was made for
// stays: the ratio of the last step, and what decides about the bytes.
PlanSoFar PlanOf(const TrainOptions& options, const ResumedCheckpoint* resumed) {
  if (resumed == nullptr || resumed->plan() == nullptr) return {};
  const SharedState& shared = resumed->shared();
  const TrainingProgress progress = ProgressFromJson(shared.loop);
  const int epoch = progress.samples > 0 ? progress.epoch : progress.epoch - 1;
  const auto now = AgreedConfiguration(options);
  const auto is_as_then = [&](const char* flag) {
    const auto then = shared.configuration.find(flag);
    return then != shared.configuration.end() && then->second == now.at(flag);
  };
  if (!is_as_then("--bucket-mb") || !is_as_then("--find-unused-parameters")) return {};
  bool settled = shared.plan_settled && shared.step > 0 &&
                 WarmUpRatio(options, epoch, shared.step - 1) == options.ratio;
  for (const char* flag : {"--ratio", "--values", "--whole-limit", "--owner-budget"}) {
    settled &= is_as_then(flag);
  }
  return {.plan = resumed->plan(), .settled = settled};
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
        device_(TakeDevice(options.device, world.local_rank())),
        data_sha256_(data.sha256),
        test_(*data.test),
        samples_(SamplesPerEpoch(options, data)),
        tested_(SamplesTested(options, data)),
        format_(data.train->format()),
        batches_(MakeBatches(
            data.train,
            DistributedSampler(samples_, world.size(), world.rank(),
                               CheckedBatchSize(options, world.size(), data), options.seed),
            device_)),
        schedule_(options, world.size(), OptimizerSteps(batches_->sampler(), Accumulated(options))),
        resumed_(ResumedCheckpoint::Find(options, world)),
        transport_(world),
        nccl_(options.backend == "nccl" ? MakeNcclTransport(world, device_) : nullptr),
        collective_(MakeTrainingCollective(options, device_, torch::get_num_threads(), &transport_,
                                           PlanOf(options, resumed_.get()), nccl_.get())),
        folder_(folder),
        output_(folder, options, collective_.get()),
        log_(output_.metrics(), options.log_every, collective_.get(), [this] { return Traffic(); }),
        meter_([this] { return Traffic(); }) {
    torch::manual_seed(options.seed);
    model_ = MakeModel(ModelFor(options, format_));
    model_->to(device_);
    if (resumed_) resumed_->LoadModule(*model_);
    step_ = std::make_unique<TrainStep>(options, world, transport_, collective_.get(), model_);
    SeedDropout(0);
    if (resumed_) GoOn();
  }

  TrainingSummary Run() {
    const TrainedState state{*model_, step_->optimizer(), *collective_};
    RunCheckpoints checkpoints(options_, world_, CheckpointsOf(), state);
    // The best one is not among this folder's: the next one is the best here.
    if (!checkpoints.HasBest()) progress_.best.reset();
    TrainingSummary summary = SummaryOfOptions();
    for (const EpochRecord& record : progress_.history) AddEpoch(record, &summary);
    if (progress_.epoch > options_.epochs) {
      spdlog::warn(
          "nothing is left to train: the checkpoint has all {} epochs; its results follow (to go "
          "on, raise --epochs)",
          progress_.epoch - 1);
    }
    for (int epoch = progress_.epoch; epoch <= options_.epochs; ++epoch) {
      const EpochRecord record = Epoch(epoch, &checkpoints);
      AddEpoch(record, &summary);
      if (!step_ms_.empty()) summary.step_ms_median = MedianOf(step_ms_);
      if (const Compression* compression = collective_->compression()) {
        const CompressionStatistics& statistics = compression->statistics();
        summary.second_sweep_fraction =
            static_cast<double>(statistics.second_sweeps) /
            std::max<double>(1.0, static_cast<double>(statistics.selections));
      }
      output_.Append("epoch", step_->engine().steps(), ToJson(record));
      Write(&summary);
      spdlog::info(
          "epoch {}/{}: loss {:.4f}, accuracy {:.2f}%, test loss {:.4f}, {}, {:.1f} s, {}, {} sent "
          "per worker and step",
          epoch, options_.epochs, record.train_loss, record.train_accuracy_percent,
          record.test_loss, TestedWords(record), record.epoch_s,
          FormatRate(record.images_per_s, is_text()), FormatBytes(record.tx_bytes_per_step));
      FinishEpoch(record, &checkpoints);
    }
    // Where all epochs were behind the checkpoint.
    if (summary.parameters_xxh3.empty()) Write(&summary);
    if (!std::isfinite(summary.test_loss)) {
      throw SharedError(StatusCode::kDiverged,
                        fmt::format("training has diverged: the test loss is not finite after {} "
                                    "epoch(s); lower --lr",
                                    summary.epochs));
    }
    if (nccl_) nccl_->Leave();
    summary.checkpoint_failure = checkpoints.failure();
    summary.folder_failure = output_.failure();
    return summary;
  }

 private:
  TrainingSummary SummaryOfOptions() const {
    TrainingSummary summary;
    summary.compress = options_.compress;
    summary.ratio = options_.compress ? options_.ratio : 1.0;
    summary.memory = options_.compress ? options_.memory : "none";
    summary.collective = std::string(collective_->name());
    summary.dataset = options_.dataset;
    summary.model = options_.model;
    summary.world_size = world_.size();
    summary.parameters = CountParameters(*model_);
    return summary;
  }

  // After an epoch.
  void Write(TrainingSummary* summary) {
    summary->steps = step_->engine().steps();
    summary->parameters_xxh3 =
        fmt::format("{:016x}", RequireIdenticalReplicas(step_->engine(), world_));
    summary->evaluations = progress_.evaluations;
    output_.Write(*summary);
  }

  TrafficBytes Traffic() const {
    TrafficBytes traffic = transport_.traffic();
    if (nccl_) traffic += nccl_->traffic();
    return traffic;
  }

  bool is_text() const { return test_.format().context > 0; }

  // Dropout draws differ between the workers.
  void SeedDropout(uint64_t steps) const {
    torch::manual_seed(options_.seed + steps +
                       0x9e3779b97f4a7c15ull * (1 + static_cast<uint64_t>(world_.rank())));
  }

  // Whether a step takes as many samples as it did there: else what the epoch has counted is of
  // other steps.
  bool SameSteps(const std::map<std::string, std::string>& then) const {
    const std::map<std::string, std::string> now = AgreedConfiguration(options_);
    return std::ranges::all_of(std::array{"--batch-size", "--accumulate"}, [&](const char* flag) {
      const auto it = then.find(flag);
      return it != then.end() && it->second == now.at(flag);
    });
  }

  // After the checkpoint instead of from the beginning.
  void GoOn() {
    const nlohmann::json of_rank = resumed_->LoadRest({*model_, step_->optimizer(), *collective_});
    step_->engine().ContinueAt(resumed_->shared().step);
    progress_ = ProgressFromJson(resumed_->shared().loop);
    step_->set_state(progress_.step);
    if (!resumed_->shared().data_sha256.empty() && resumed_->shared().data_sha256 != data_sha256_) {
      spdlog::warn(
          "these are not the data that the checkpoint was trained on: training goes on "
          "with those of now");
    }
    if (of_rank.is_null()) {
      SeedDropout(resumed_->shared().step);  // other workers than there were
    } else if (SameSteps(resumed_->shared().configuration)) {
      meter_.GoOn(EpochSumsFromJson(of_rank));
    }
    resumed_.reset();
  }

  std::filesystem::path CheckpointsOf() const {
    if (options_.save_every == 0 && options_.save_every_steps == 0) return {};
    std::filesystem::path path = options_.checkpoint_dir;
    if (path.empty() && folder_ != nullptr) path = folder_->path() / "checkpoints";
    return world_.AgreeOnText(path.string());
  }

  LoopState StateOfLoop(const EpochSums& sums) {
    progress_.step = step_->state();
    return {.step = step_->engine().steps(),
            .data_sha256 = data_sha256_,
            .shared = ToJson(progress_),
            .of_rank = ToJson(sums)};
  }

  void FinishEpoch(const EpochRecord& record, RunCheckpoints* checkpoints) {
    progress_.history.push_back(record);
    progress_.epoch = record.epoch + 1;
    progress_.samples = 0;
    progress_.void_steps = 0;
    const std::optional<double> best_before = progress_.best;
    const double merit = MeritOf(record);
    const bool is_best = checkpoints->DueAfter(record.epoch) && std::isfinite(merit) &&
                         (!progress_.best || merit > *progress_.best);
    if (is_best) progress_.best = merit;
    LoopState loop = StateOfLoop({});
    loop.is_best = is_best;
    if (!checkpoints->AfterEpoch(record.epoch, loop)) progress_.best = best_before;
  }

  // The step of the epoch to go on with.
  uint32_t FirstStep() {
    uint32_t samples = progress_.samples;
    const uint32_t step = StepsWithin(batches_->sampler(), Accumulated(options_), &samples);
    if (samples < progress_.samples) {
      spdlog::info("{} samples of the epoch come once more: the global batch is another one",
                   progress_.samples - samples);
    }
    progress_.samples = samples;
    return step;
  }

  EpochRecord Epoch(int epoch, RunCheckpoints* checkpoints) {
    const uint32_t steps = OptimizerSteps(batches_->sampler(), Accumulated(options_));
    const uint32_t first = FirstStep();
    batches_->StartEpoch(static_cast<uint64_t>(epoch - 1), first * Accumulated(options_));
    model_->train();
    world_.Barrier();
    log_.BeginEpoch();
    output_.BeginEpoch();
    const uint32_t counted_from = meter_.goes_on() ? 0 : first;
    const uint32_t samples_counted = samples_ - (meter_.goes_on() ? 0 : progress_.samples);
    meter_.Begin();
    const auto start = Clock::now();
    const TrafficBytes before = Traffic();
    EpochRecord record;
    {
      ProgressBar bar(fmt::format("epoch {}/{}", epoch, options_.epochs), first, steps,
                      world_.rank() == 0 && spdlog::should_log(spdlog::level::info));
      for (uint32_t step = first; step < steps; ++step) {
        progress_.void_steps += Step(epoch, step, steps) == StepOutcome::kVoid;
        progress_.samples += BatchesOf(batches_->sampler(), step, Accumulated(options_)).samples;
        const bool evaluated = EvaluationDue() && step + 1 < steps;
        if (evaluated) EvaluateWithin(epoch);
        SaveAfterStep(evaluated, checkpoints);
        bar.Update(step + 1, [&] {
          const double done = static_cast<double>(step + 1 - first);
          const double sent = static_cast<double>(Traffic().sent - before.sent);
          const double samples =
              done * BatchesOf(batches_->sampler(), 0, Accumulated(options_)).samples;
          return fmt::format("loss {:.4f}, acc {:.2f}%, {}, {}/step", meter_.tally().mean_loss(),
                             meter_.tally().accuracy_percent(),
                             FormatRate(samples / Seconds(Clock::now() - start), is_text()),
                             FormatBytes(sent / done));
        });
      }
    }
    const EpochMeter::Totals totals = meter_.End(world_);
    record.means = log_.EndEpoch();
    const Tally tested = Evaluated();

    record.epoch = epoch;
    record.void_steps = progress_.void_steps;
    record.train_loss = totals.trained.mean_loss();
    record.train_accuracy_percent = totals.trained.accuracy_percent();
    record.test_loss = tested.mean_loss();
    record.test_accuracy_percent = tested.accuracy_percent();
    record.test_bits_per_byte = BitsPerByte(record.test_loss, test_.format());
    record.learning_rate = schedule_.Rate(static_cast<uint64_t>(epoch) * steps - 1);
    record.epoch_s = totals.seconds;
    RecordEvaluation(tested, record.epoch_s);
    record.images_per_s = samples_counted / record.epoch_s;
    const uint32_t steps_counted = std::max(1u, steps - counted_from);
    record.tx_bytes_per_step = totals.sent / steps_counted;
    record.rx_bytes_per_step = totals.received / steps_counted;
    return record;
  }

  static uint32_t Accumulated(const TrainOptions& options) {
    return static_cast<uint32_t>(options.accumulate);
  }

  // This worker's part of the next batch.
  LocalBatch Take(uint32_t batch) {
    auto [inputs, targets] = batches_->Next();
    return {.inputs = std::move(inputs),
            .targets = std::move(targets),
            .empty = batches_->sampler().Batch(batch).empty()};
  }

  StepOutcome Step(int epoch, uint32_t step, uint32_t steps_per_epoch) {
    const auto start = Clock::now();
    log_.BeginStep();
    // Steps of this many workers, which the engine's number is not when there were others.
    const double rate = schedule_.Rate(static_cast<uint64_t>(epoch - 1) * steps_per_epoch + step);
    if (Compression* compression = collective_->compression()) {
      ThrowIfError(compression->SetRatio(WarmUpRatio(options_, epoch, step_->engine().steps())));
    }
    const AccumulatedBatches batches = BatchesOf(batches_->sampler(), step, Accumulated(options_));
    const uint64_t targets = uint64_t{batches.samples} * format_.targets_per_sample();
    Tally own;
    const StepOutcome outcome =
        step_->Run(rate,
                   {.batches = batches.count,
                    .targets = targets,
                    .take = [&](uint32_t i) { return Take(batches.first + i); },
                    .log = &log_},
                   &own);
    meter_.Add(own);
    log_.EndStep({.step = step_->engine().steps(),
                  .epoch = epoch,
                  .learning_rate = rate,
                  .tally = own,
                  .global_samples = static_cast<double>(batches.samples)});
    step_ms_.push_back(1e3 * Seconds(Clock::now() - start));
    return outcome;
  }

  Tally Evaluated() {
    step_->engine().SyncBuffers();
    return Evaluate(*model_, test_, tested_, options_.batch_size, options_.amp, world_);
  }

  bool EvaluationDue() const {
    return options_.eval_every_steps > 0 &&
           step_->engine().steps() % static_cast<uint64_t>(options_.eval_every_steps) == 0;
  }

  // What is done between two steps and is no training.
  void Exclude(std::chrono::nanoseconds time, const TrafficBytes& traffic) {
    meter_.Exclude(time, traffic);
    log_.Exclude(time, traffic);
  }

  void SaveAfterStep(bool evaluated, RunCheckpoints* checkpoints) {
    const auto before = checkpoints->time();
    checkpoints->AfterStep(step_->engine().steps(), evaluated,
                           [&] { return StateOfLoop(meter_.Now()); });
    Exclude(checkpoints->time() - before, {});
  }

  void EvaluateWithin(int epoch) {
    const double seconds = meter_.Now().seconds;
    const auto start = Clock::now();
    const TrafficBytes before = Traffic();
    const Tally tested = Evaluated();
    model_->train();
    RecordEvaluation(tested, seconds);
    nlohmann::json record = ToJson(progress_.evaluations.back());
    record["epoch"] = epoch;
    output_.Append("evaluation", step_->engine().steps(), record);
    Exclude(Clock::now() - start, Traffic() - before);
  }

  // `seconds`: of the epoch in progress.
  void RecordEvaluation(const Tally& tested, double seconds) {
    for (const EpochRecord& epoch : progress_.history) seconds += epoch.epoch_s;
    progress_.evaluations.push_back({.step = step_->engine().steps(),
                                     .train_s = seconds,
                                     .test_loss = tested.mean_loss(),
                                     .test_accuracy_percent = tested.accuracy_percent()});
  }

  const TrainOptions& options_;
  World& world_;
  const at::Device device_;
  const std::string& data_sha256_;
  const Samples& test_;
  uint32_t samples_;
  int64_t tested_;              // samples of an evaluation
  const SampleFormat& format_;  // of the training samples
  std::unique_ptr<Batches> batches_;
  RateSchedule schedule_;
  std::unique_ptr<ResumedCheckpoint> resumed_;  // until it is loaded
  C10dTransport transport_;
  std::unique_ptr<DeviceTransport> nccl_;  // for gradients; buffers go over transport_
  std::unique_ptr<Collective> collective_;
  const RunFolder* folder_;
  RunOutput output_;
  StepLog log_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<TrainStep> step_;
  std::vector<double> step_ms_;
  TrainingProgress progress_;
  EpochMeter meter_;
};

}  // namespace

TrainingSummary Train(const TrainOptions& options, World& world, const DatasetSplits& data,
                      const RunFolder* folder) {
  return TrainingRun(options, world, data, world.rank() == 0 ? folder : nullptr).Run();
}

}  // namespace cddp
