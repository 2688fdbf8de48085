// Longer than other files: what a run keeps, from the first step to the summary, in one class.
#include "trainer/training.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <torch/torch.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cddp/collective.h"
#include "cddp/status.h"
#include "ddp/c10d_transport.h"
#include "trainer/evaluation.h"
#include "trainer/layer_log.h"
#include "trainer/loader.h"
#include "trainer/metrics_log.h"
#include "trainer/model.h"
#include "trainer/plan_file.h"
#include "trainer/progress.h"
#include "trainer/recording_collective.h"
#include "trainer/run_checkpoints.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"
#include "trainer/step_log.h"
#include "trainer/tensor_batch.h"
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

std::unique_ptr<Collective> MakeCollective(const TrainOptions& options, int rank,
                                           const ResumedCheckpoint* resumed, Transport* transport) {
  const PlanSoFar plan{.plan = resumed ? resumed->plan() : nullptr,
                       .settled = resumed && resumed->plan_settled()};
  auto collective = MakeTrainingCollective(options, torch::get_num_threads(), transport, plan);
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
        data_sha256_(data.sha256),
        test_(*data.test),
        samples_(SamplesPerEpoch(options, data)),
        tested_(SamplesTested(options, data)),
        loader_(data.train,
                DistributedSampler(samples_, world.size(), world.rank(),
                                   CheckedBatchSize(options, world.size(), data), options.seed)),
        schedule_(options, world.size(), OptimizerSteps(loader_.sampler(), Accumulated(options))),
        resumed_(ResumedCheckpoint::Find(options, world)),
        transport_(world),
        collective_(MakeCollective(options, world.rank(), resumed_.get(), &transport_)),
        folder_(folder),
        metrics_(folder == nullptr ? nullptr
                                   : std::make_unique<MetricsLog>(
                                         folder->path(), options.tensorboard, options.json_lines)),
        log_(metrics_.get(), options.log_every, collective_.get(),
             [this] { return transport_.traffic(); }) {
    torch::manual_seed(options.seed);
    model_ = MakeModel(ModelFor(options, data.train->format()));
    if (resumed_) resumed_->LoadModule(*model_);
    step_ = std::make_unique<TrainStep>(options, world, transport_, collective_.get(), model_);
    SeedDropout(0);
    if (resumed_) GoOn();
  }

  TrainingSummary Run() {
    const TrainedState state{*model_, step_->optimizer(), *collective_};
    RunCheckpoints checkpoints(options_, world_, CheckpointsOf(), state);
    TrainingSummary summary;
    summary.compress = options_.compress;
    summary.ratio = options_.compress ? options_.ratio : 1.0;
    summary.memory = options_.compress ? options_.memory : "none";
    summary.collective = std::string(collective_->name());
    summary.dataset = options_.dataset;
    summary.model = options_.model;
    summary.world_size = world_.size();
    summary.parameters = CountParameters(*model_);

    for (const EpochRecord& record : progress_.history) Add(record, &summary);
    for (int epoch = progress_.epoch; epoch <= options_.epochs; ++epoch) {
      const EpochRecord record = Epoch(epoch, &checkpoints);
      Add(record, &summary);
      summary.steps = step_->engine().steps();
      summary.step_ms_median = Median(step_ms_);
      if (const Compressor* compressor = collective_->compressor()) {
        const CompressionStatistics& statistics = compressor->statistics();
        summary.second_sweep_fraction =
            static_cast<double>(statistics.second_sweeps) /
            std::max<double>(1.0, static_cast<double>(statistics.selections));
      }
      summary.parameters_xxh3 = fmt::format("{:016x}", RequireIdenticalReplicas());
      if (metrics_) metrics_->Append("epoch", step_->engine().steps(), ToJson(record));
      WriteFolder(summary);
      spdlog::info(
          "epoch {}/{}: loss {:.4f}, accuracy {:.2f}%, test loss {:.4f}, {}, {:.1f} s, {}, {} sent "
          "per worker and step",
          epoch, options_.epochs, record.train_loss, record.train_accuracy_percent,
          record.test_loss, TestedWords(record), record.epoch_s,
          FormatRate(record.images_per_s, is_text()), FormatBytes(record.tx_bytes_per_step));
      FinishEpoch(record, &checkpoints);
    }
    if (summary.parameters_xxh3.empty()) {
      // All epochs were behind the checkpoint.
      summary.steps = step_->engine().steps();
      summary.parameters_xxh3 = fmt::format("{:016x}", RequireIdenticalReplicas());
      WriteFolder(summary);
    }
    if (!std::isfinite(summary.test_loss)) {
      throw StatusError(StatusCode::kDiverged,
                        fmt::format("training has diverged: the test loss is not finite after {} "
                                    "epoch(s); lower --lr",
                                    summary.epochs));
    }
    summary.checkpoint_failure = checkpoints.failure();
    summary.evaluations = progress_.evaluations;
    return summary;
  }

 private:
  bool is_text() const { return test_.format().context > 0; }

  // Dropout draws differ between the workers.
  void SeedDropout(uint64_t steps) const {
    torch::manual_seed(options_.seed + steps +
                       0x9e3779b97f4a7c15ull * (1 + static_cast<uint64_t>(world_.rank())));
  }

  // After the checkpoint instead of from the beginning.
  void GoOn() {
    const nlohmann::json of_rank = resumed_->LoadRest({*model_, step_->optimizer(), *collective_});
    step_->engine().ContinueAt(resumed_->step());
    progress_ = ProgressFromJson(resumed_->shared());
    step_->set_state(progress_.step);
    if (!resumed_->data_sha256().empty() && resumed_->data_sha256() != data_sha256_) {
      spdlog::warn(
          "these are not the data that the checkpoint was trained on: training goes on "
          "with those of now");
    }
    if (of_rank.is_null()) {
      SeedDropout(resumed_->step());  // other workers than there were
    } else {
      epoch_sums_ = EpochSumsFromJson(of_rank);
      counted_before_ = true;
    }
    resumed_.reset();
  }

  void WriteFolder(TrainingSummary& summary) const {
    if (folder_ == nullptr) return;
    summary.evaluations = progress_.evaluations;
    folder_->Write(summary);
    if (const Compressor* compressor = collective_->compressor()) {
      WriteWhole(folder_->path() / "layers.json",
                 layers_.Record(summary.epochs, *compressor).dump(1) + '\n');
    }
    if (collective_->plan() != nullptr) {
      WriteWhole(folder_->path() / "plan.json", ToJson(*collective_->plan()).dump(1) + '\n');
    }
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
    epoch_sums_ = {};
    const bool is_best = checkpoints->DueAfter(record.epoch) &&
                         (!progress_.best || MeritOf(record) > *progress_.best);
    if (is_best) progress_.best = MeritOf(record);
    LoopState loop = StateOfLoop(epoch_sums_);
    loop.is_best = is_best;
    checkpoints->AfterEpoch(record.epoch, loop);
  }

  void Add(const EpochRecord& record, TrainingSummary* summary) const {
    summary->history.push_back(record);
    summary->epochs = record.epoch;
    summary->void_steps += record.void_steps;
    summary->test_accuracy_percent = record.test_accuracy_percent;
    summary->test_loss = record.test_loss;
    summary->test_bits_per_byte = record.test_bits_per_byte;
    // Epochs have equally many steps and samples.
    const double share = 1.0 / record.epoch;
    summary->epoch_s_mean += share * (record.epoch_s - summary->epoch_s_mean);
    summary->images_per_s = samples_ / summary->epoch_s_mean;
    summary->tx_bytes_per_step += share * (record.tx_bytes_per_step - summary->tx_bytes_per_step);
    summary->rx_bytes_per_step += share * (record.rx_bytes_per_step - summary->rx_bytes_per_step);
  }

  // The step of the epoch to go on with: with other batches than before, some samples may
  // come once more.
  uint32_t FirstStep(uint32_t steps) {
    uint32_t step = 0;
    uint32_t samples = 0;
    while (samples < progress_.samples && step < steps) {
      const uint32_t next = BatchesOf(loader_.sampler(), step, Accumulated(options_)).samples;
      if (samples + next > progress_.samples) break;
      samples += next;
      ++step;
    }
    if (samples < progress_.samples) {
      spdlog::info("{} samples of the epoch come once more: the global batch is another one",
                   progress_.samples - samples);
    }
    progress_.samples = samples;
    return step;
  }

  EpochRecord Epoch(int epoch, RunCheckpoints* checkpoints) {
    const uint32_t steps = OptimizerSteps(loader_.sampler(), Accumulated(options_));
    const uint32_t first = FirstStep(steps);
    loader_.StartEpoch(static_cast<uint64_t>(epoch - 1), first * Accumulated(options_));
    if (Compressor* compressor = collective_->compressor()) {
      ThrowIfError(
          compressor->SetRatio(WarmUpRatio(options_.ratio, epoch, options_.warmup_epochs)));
    }
    model_->train();
    world_.Barrier();
    const TrafficBytes before = transport_.traffic();
    log_.BeginEpoch();
    if (const Compressor* compressor = collective_->compressor()) layers_.BeginEpoch(*compressor);
    aside_ = {};
    const auto start = Clock::now();
    const auto saving_before = checkpoints->time();
    const EpochSums before_start = epoch_sums_;
    Tally tally{before_start.loss, before_start.correct, before_start.samples};
    // What is counted of the epoch, in the time that training took.
    const auto sums_now = [&] {
      const TrafficBytes now = transport_.traffic();
      const auto aside = checkpoints->time() - saving_before + aside_.time;
      return EpochSums{
          .loss = tally.loss,
          .correct = tally.correct,
          .samples = tally.samples,
          .sent =
              before_start.sent + static_cast<double>(now.sent - before.sent - aside_.traffic.sent),
          .received = before_start.received +
                      static_cast<double>(now.received - before.received - aside_.traffic.received),
          .seconds = before_start.seconds + Seconds(Clock::now() - start - aside)};
    };
    EpochRecord record;
    {
      ProgressBar bar(fmt::format("epoch {}/{}", epoch, options_.epochs), steps,
                      world_.rank() == 0 && spdlog::should_log(spdlog::level::info));
      for (uint32_t step = first; step < steps; ++step) {
        progress_.void_steps += Step(epoch, step, steps, &tally) == StepOutcome::kVoid;
        progress_.samples += BatchesOf(loader_.sampler(), step, Accumulated(options_)).samples;
        if (EvaluationDue() && step + 1 < steps) EvaluateWithin(epoch, sums_now().seconds);
        checkpoints->AfterStep(step_->engine().steps(), [&] { return StateOfLoop(sums_now()); });
        bar.Update(step + 1, [&] {
          const double done = static_cast<double>(step + 1 - first);
          const double sent = static_cast<double>(transport_.traffic().sent - before.sent);
          const double samples =
              done * BatchesOf(loader_.sampler(), 0, Accumulated(options_)).samples;
          return fmt::format("loss {:.4f} acc {:.2f}% {} {}/step", tally.mean_loss(),
                             tally.accuracy_percent(),
                             FormatRate(samples / Seconds(Clock::now() - start), is_text()),
                             FormatBytes(sent / done));
        });
      }
    }
    const double own_seconds = sums_now().seconds;
    record.means = log_.EpochMeans();
    // After the barrier everything that was sent has arrived.
    world_.Barrier();
    const EpochSums own = sums_now();
    std::vector<double> sums{own.sent, own.received, own_seconds};
    world_.Sum(sums);
    const double counted_steps = std::max(1u, counted_before_ ? steps : steps - first);
    const double worker_steps = counted_steps * world_.size();
    const Tally trained = SumOverWorkers(world_, tally);
    const Tally tested = Evaluated();

    record.epoch = epoch;
    record.void_steps = progress_.void_steps;
    record.train_loss = trained.mean_loss();
    record.train_accuracy_percent = trained.accuracy_percent();
    record.test_loss = tested.mean_loss();
    record.test_accuracy_percent = tested.accuracy_percent();
    record.test_bits_per_byte = BitsPerByte(record.test_loss, test_.format());
    record.learning_rate = schedule_.Rate(static_cast<uint64_t>(epoch) * steps - 1);
    record.epoch_s = sums[2] / world_.size();
    RecordEvaluation(tested, record.epoch_s);
    record.images_per_s = counted_steps / steps * samples_ / record.epoch_s;
    record.tx_bytes_per_step = sums[0] / worker_steps;
    record.rx_bytes_per_step = sums[1] / worker_steps;
    return record;
  }

  static uint32_t Accumulated(const TrainOptions& options) {
    return static_cast<uint32_t>(options.accumulate);
  }

  // This worker's part of the next batch.
  LocalBatch Take(uint32_t batch) {
    auto [inputs, targets] = AsTensors(loader_.Next(), loader_.samples().format());
    return {.inputs = std::move(inputs),
            .targets = std::move(targets),
            .empty = loader_.sampler().Batch(batch).empty()};
  }

  StepOutcome Step(int epoch, uint32_t step, uint32_t steps_per_epoch, Tally* tally) {
    const auto start = Clock::now();
    log_.BeginStep();
    // Steps of this many workers, which the engine's number is not when there were others.
    const double rate = schedule_.Rate(static_cast<uint64_t>(epoch - 1) * steps_per_epoch + step);
    const AccumulatedBatches batches = BatchesOf(loader_.sampler(), step, Accumulated(options_));
    const uint64_t targets =
        uint64_t{batches.samples} * loader_.samples().format().targets_per_sample();
    Tally own;
    const StepOutcome outcome =
        step_->Run(rate,
                   {.batches = batches.count,
                    .targets = targets,
                    .take = [&](uint32_t i) { return Take(batches.first + i); },
                    .log = &log_},
                   &own);
    *tally += own;
    log_.EndStep({.step = step_->engine().steps(),
                  .epoch = epoch,
                  .learning_rate = rate,
                  .loss = own.loss,
                  .correct = own.correct,
                  .samples = own.samples,
                  .global_samples = static_cast<double>(targets)});
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

  // Between two steps of an epoch that has trained for `seconds`.
  void EvaluateWithin(int epoch, double seconds) {
    const auto start = Clock::now();
    const TrafficBytes before = transport_.traffic();
    const Tally tested = Evaluated();
    model_->train();
    RecordEvaluation(tested, seconds);
    if (metrics_) {
      nlohmann::json record = ToJson(progress_.evaluations.back());
      record["epoch"] = epoch;
      metrics_->Append("evaluation", step_->engine().steps(), record);
    }
    const TrafficBytes now = transport_.traffic();
    aside_.traffic.sent += now.sent - before.sent;
    aside_.traffic.received += now.received - before.received;
    aside_.time += Clock::now() - start;
  }

  // `seconds`: of the epoch in progress.
  void RecordEvaluation(const Tally& tested, double seconds) {
    for (const EpochRecord& epoch : progress_.history) seconds += epoch.epoch_s;
    progress_.evaluations.push_back({.step = step_->engine().steps(),
                                     .train_s = seconds,
                                     .test_loss = tested.mean_loss(),
                                     .test_accuracy_percent = tested.accuracy_percent()});
  }

  // Parameters, and buffers as they were evaluated with.
  uint64_t RequireIdenticalReplicas() {
    uint64_t hash = 0;
    const DdpEngine& engine = step_->engine();
    for (const auto* tensors : {&engine.parameters(), &engine.buffers()}) {
      for (const at::Tensor& tensor : *tensors) {
        const at::Tensor flat = tensor.detach().contiguous();
        hash = XXH3_64bits_withSeed(flat.data_ptr(), flat.nbytes(), hash);
      }
    }
    std::vector<double> differing{world_.AgreeOnNumber(hash) == hash ? 0.0 : 1.0};
    world_.Sum(differing);
    if (differing[0] != 0) {
      throw StatusError(StatusCode::kInternal,
                        fmt::format("the parameters or buffers of {:.0f} of {} workers differ "
                                    "from rank 0's",
                                    differing[0], world_.size()));
    }
    return hash;
  }

  static double Median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  const TrainOptions& options_;
  World& world_;
  const std::string& data_sha256_;
  const Samples& test_;
  uint32_t samples_;
  int64_t tested_;  // samples of an evaluation
  Loader loader_;
  RateSchedule schedule_;
  std::unique_ptr<ResumedCheckpoint> resumed_;  // until it is loaded
  C10dTransport transport_;
  std::unique_ptr<Collective> collective_;
  const RunFolder* folder_;
  std::unique_ptr<MetricsLog> metrics_;
  StepLog log_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<TrainStep> step_;
  std::vector<double> step_ms_;
  TrainingProgress progress_;
  EpochSums epoch_sums_;  // of the epoch in progress, before this process
  bool counted_before_ = false;
  LayerLog layers_;
  // Of the epoch in progress, what is not training: its evaluations.
  struct {
    Clock::duration time{0};
    TrafficBytes traffic;
  } aside_;
};

}  // namespace

ModelOptions ModelFor(const TrainOptions& options, const SampleFormat& format) {
  return {.name = options.model,
          .architecture = options.architecture,
          .channels = format.channels,
          .rows = format.rows,
          .cols = format.cols,
          .context = format.context,
          .classes = format.classes};
}

TrainingSummary Train(const TrainOptions& options, World& world, const DatasetSplits& data,
                      const RunFolder* folder) {
  return TrainingRun(options, world, data, world.rank() == 0 ? folder : nullptr).Run();
}

uint32_t SamplesPerEpoch(const TrainOptions& options, const DatasetSplits& data) {
  if (options.max_train_samples == 0) return data.train->count();
  return std::min(options.max_train_samples, data.train->count());
}

uint32_t SamplesTested(const TrainOptions& options, const DatasetSplits& data) {
  if (options.max_test_samples == 0) return data.test->count();
  return std::min(options.max_test_samples, data.test->count());
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

}  // namespace cddp
