#include "trainer/test_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <span>

#include "cddp/status.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/classification.h"
#include "trainer/data/catalog.h"
#include "trainer/data/file_bytes.h"
#include "trainer/evaluation.h"
#include "trainer/failure.h"
#include "trainer/load_dataset.h"
#include "trainer/number_range.h"
#include "trainer/plots/contact_sheet.h"
#include "trainer/plots/test_plots.h"
#include "trainer/rank_zero.h"
#include "trainer/report_file.h"
#include "trainer/safetensors.h"
#include "trainer/tensor_state.h"
#include "trainer/torch_device.h"
#include "trainer/train_flags.h"
#include "trainer/trained_options.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// Workers take whole batches: so each sample is computed in the same one, and the sums come
// out the same, whatever their number.
constexpr int64_t kImageBatch = 250;

// A row for each sample of images, for each batch of text; the other workers' are zero until
// they are summed.
class Table {
 public:
  Table(int64_t rows, size_t columns)
      : columns_(columns), numbers_(static_cast<size_t>(rows) * columns) {}
  std::span<double> Row(int64_t row) {
    return std::span(numbers_).subspan(static_cast<size_t>(row) * columns_, columns_);
  }
  int64_t rows() const { return static_cast<int64_t>(numbers_.size() / columns_); }
  void SumOverWorkers(World& world) { world.Sum(numbers_); }

 private:
  size_t columns_;
  std::vector<double> numbers_;
};

void RequireFinite(double value) {
  if (std::isfinite(value)) return;
  throw SharedError(StatusCode::kDiverged,
                    "the checkpoint's model gives outputs that are not finite: training had "
                    "diverged when it was saved");
}

class ModelTest {
 public:
  ModelTest(const TrainOptions& options, World& world, const DatasetSplits& data,
            const fs::path& checkpoint)
      : options_(options),
        world_(world),
        samples_(*data.test),
        count_(SamplesTested(options, data)),
        batch_(samples_.format().context > 0 ? options.batch_size : kImageBatch),
        model_(MakeModel(ModelFor(options, samples_.format()))) {
    model_->to(TakeDevice(options.device, world.local_rank()));
    const fs::path file = ModelFile(checkpoint);
    CopyInto(Safetensors::Read(file), file.string(), ModuleTensors(*model_));
  }

  // Of images: every sample's answer, on every worker. Throws SharedError(kDiverged), as Tokens
  // does.
  std::vector<Answer> Answers() {
    Table table(count_, 5);
    Pass([&](const EvaluatedBatch& batch) {
      const at::Tensor targets = batch.targets.cpu();
      const at::Tensor log_probabilities = batch.prediction.logits.cpu().log_softmax(1);
      const auto [best, predicted] = log_probabilities.max(1);
      const at::Tensor of_truth = log_probabilities.gather(1, targets.unsqueeze(1)).squeeze(1);
      for (int64_t i = 0; i < targets.numel(); ++i) {
        const double log_of_truth = of_truth[i].item<float>();
        const auto row = table.Row(batch.begin + i);
        row[0] = static_cast<double>(targets[i].item<int64_t>());
        row[1] = static_cast<double>(predicted[i].item<int64_t>());
        row[2] = std::exp(static_cast<double>(best[i].item<float>()));
        row[3] = std::exp(log_of_truth);
        row[4] = -log_of_truth;
      }
    });
    table.SumOverWorkers(world_);
    std::vector<Answer> answers;
    for (int64_t i = 0; i < table.rows(); ++i) {
      const auto row = table.Row(i);
      RequireFinite(row[2] + row[4]);
      answers.push_back({.truth = static_cast<int>(row[0]),
                         .predicted = static_cast<int>(row[1]),
                         .confidence = row[2],
                         .probability = row[3],
                         .loss = row[4]});
    }
    return answers;
  }

  // Of text: the sums over all tokens.
  Tally Tokens() {
    Table table((count_ + batch_ - 1) / batch_, 3);
    Pass([&](const EvaluatedBatch& batch) {
      Tally tally;
      tally += TallyOf(batch.prediction.logits, batch.targets, batch.prediction.loss_sum);
      const auto row = table.Row(batch.begin / batch_);
      row[0] = tally.loss;
      row[1] = tally.correct;
      row[2] = tally.samples;
    });
    table.SumOverWorkers(world_);
    Tally sum;
    for (int64_t i = 0; i < table.rows(); ++i) {
      const auto row = table.Row(i);
      sum += Tally{row[0], row[1], row[2]};
    }
    RequireFinite(sum.loss);
    return sum;
  }

  double seconds() const { return seconds_; }
  double forward_s() const { return forward_s_; }
  int64_t count() const { return count_; }

 private:
  void Pass(const std::function<void(const EvaluatedBatch&)>& seen) {
    EvaluationPass pass = ShareOf(world_, count_, batch_);
    pass.batch_size = batch_;
    pass.amp = options_.amp;
    world_.Barrier();
    const auto start = Clock::now();
    ForEachBatch(*model_, samples_, pass, [&](const EvaluatedBatch& batch) {
      forward_s_ += batch.forward_s;
      seen(batch);
    });
    world_.Barrier();
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
  }

  const TrainOptions& options_;
  World& world_;
  const Samples& samples_;
  int64_t count_;
  int64_t batch_;
  std::shared_ptr<Model> model_;
  double seconds_ = 0;
  double forward_s_ = 0;  // of this worker
};

// What is found of a model, to be written, printed and drawn.
struct Tested {
  nlohmann::json report;
  std::string text;
  std::vector<Picture> pictures;
};

Tested TestImages(ModelTest& test, const Samples& samples, const DatasetInfo& info) {
  const std::vector<Answer> answers = test.Answers();
  const ClassificationReport report = Classify(answers, samples.format().classes);
  Tested tested{.report = ToJson(report, answers, info.class_names),
                .text = ToText(report, info.class_names),
                .pictures = TestPictures({info.class_names, report})};
  tested.pictures.push_back(ContactSheet(tested.report["worst"], samples, info));
  return tested;
}

Tested TestText(ModelTest& test, const SampleFormat& format) {
  const Tally tally = test.Tokens();
  const auto tokens = static_cast<int64_t>(tally.samples);
  const double bits = BitsPerByte(tally.mean_loss(), format).value();
  return {
      .report = {{"samples", tokens},
                 {"loss", tally.mean_loss()},
                 {"accuracy_percent", tally.accuracy_percent()},
                 {"test_bits_per_byte", bits}},
      .text = fmt::format("{:.3f} bits per byte, loss {:.4f}, next token right in {:.2f}% of {}\n",
                          bits, tally.mean_loss(), tally.accuracy_percent(), tokens),
      .pictures = {}};
}

class TestRun {
 public:
  TestRun(const TestOptions& test, const TrainOptions& options, fs::path checkpoint,
          const TrainedSoFar& so_far)
      : test_(test), options_(options), checkpoint_(std::move(checkpoint)), so_far_(so_far) {
    folder_ = test.output.empty() ? FolderOfRun(checkpoint_) : fs::path(test.output);
  }

  void RequireWritable() const {
    RequireWritableReport(options_.json);
    RequireWritableFolder(folder_, "choose another with --output");
  }

  // Which text of the user's own it was trained on, only options can say.
  void RequireText() const {
    const DatasetInfo& info = RequireDataset(options_.dataset);
    if (info.kind != DatasetKind::kText || !options_.text_file.empty()) return;
    if (so_far_.data_sha256.empty() || so_far_.data_sha256 == info.files[0].sha256) return;
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("{} was trained on another text than data set {}: give that, or "
                                  "the one to test on, with --text-file",
                                  checkpoint_.string(), options_.dataset));
  }

  // Returns the pictures: drawing may fail, and keeps no other worker waiting.
  std::vector<Picture> Run(World& world, const DatasetSplits& data) const {
    if (!so_far_.data_sha256.empty() && so_far_.data_sha256 != data.sha256) {
      spdlog::warn("{} was trained on other data than it is tested on", checkpoint_.string());
    }
    ModelTest test(options_, world, data, checkpoint_);
    const SampleFormat& format = data.test->format();
    Tested tested = format.context > 0
                        ? TestText(test, format)
                        : TestImages(test, *data.test, RequireDataset(options_.dataset));
    OnRankZero(world, [&] {
      Write(test, world.size(), &tested.report);
      (options_.json == "-" ? std::cerr : std::cout) << tested.text << std::flush;
      spdlog::info("{} tested in {:.2f} s; report in {}", checkpoint_.string(), test.seconds(),
                   (folder_ / "test.json").string());
    });
    if (world.rank() != 0) return {};
    return std::move(tested.pictures);
  }

  void Draw(const std::vector<Picture>& pictures) const {
    if (test_.no_plots) return;
    for (const fs::path& picture : DrawPictures(folder_, pictures)) {
      spdlog::info("drawn: {}", picture.string());
    }
  }

 private:
  // Adds what was tested, and how.
  void Write(const ModelTest& test, int world_size, nlohmann::json* report) const {
    report->update({{"checkpoint", checkpoint_.string()},
                    {"run", fs::exists(folder_ / "summary.json") ? folder_.string() : ""},
                    {"epoch", so_far_.epochs},
                    {"step", so_far_.steps},
                    {"dataset", options_.dataset},
                    {"model", options_.model},
                    {"world_size", world_size},
                    {"seconds", test.seconds()},
                    {"forward_s", test.forward_s()},
                    {"images_per_s", static_cast<double>(test.count()) / test.seconds()}});
    WriteFileAtomically(folder_ / "test.json", report->dump(1) + '\n');
    WriteJsonReport(options_.json, *report);
  }

  const TestOptions& test_;
  const TrainOptions& options_;
  const fs::path checkpoint_;
  const TrainedSoFar so_far_;
  fs::path folder_;
};

}  // namespace

void AddTestOptions(CLI::App* app, TestOptions* o) {
  app->add_option("--checkpoint", o->checkpoint,
                  "A checkpoint, or a folder of them or of a run: then the newest whole one")
      ->required()
      ->group("Model");
  app->add_option("--data-dir", o->run.data_dir,
                  "Folder of the data sets; missing ones are fetched")
      ->group("Model");
  app->add_option("--text-file", o->run.text_file,
                  "Of a model that was trained with --text-file: the same text")
      ->group("Model");
  app->add_option("--max-test-samples", o->run.max_test_samples,
                  "Test on the first N samples only (0: all)")
      ->check(NumberRange(0))
      ->group("Model");
  AddWorkerOptions(app, &o->run);
  AddReportOptions(app, &o->run);
  app->add_option("--output", o->output,
                  "Folder of test.json and the pictures (empty: the checkpoint's run folder)")
      ->group("Output");
  app->add_flag("--no-plots", o->no_plots, "Draw no pictures")->group("Output");
}

int TestCommand(const TestOptions& test, const std::vector<std::string>& arguments) {
  const fs::path checkpoint = LocateCheckpoint(
      test.checkpoint, [](const std::string& why) { spdlog::warn("damaged checkpoint: {}", why); });
  TrainOptions options = test.run;
  const TrainedSoFar so_far = ReadTrainedOptions(checkpoint, &options);
  const Devices devices = PresentDevices();
  if (options.amp == "fp16" && ResolveDevice(options.device, devices) == "cpu") {
    spdlog::warn("{} was trained with --amp fp16, which the CPU has not: tested in fp32",
                 checkpoint.string());
    options.amp = "none";
  }
  Resolve(options, devices);
  const TestRun run(test, options, checkpoint, so_far);
  run.RequireText();
  if (IsLauncher(options)) {
    run.RequireWritable();
    (void)LoadOrFetchDataset(options);  // once, with progress, before the workers need it
    return LaunchLocalWorkers(options, arguments);
  }
  const DatasetSplits data = LoadOrFetchDataset(options);
  std::vector<Picture> pictures;
  const int code = RunInWorld(options,
                              {{"command", "test"},
                               {"--checkpoint", fs::weakly_canonical(checkpoint).string()},
                               {"--max-test-samples", std::to_string(options.max_test_samples)},
                               {"data (sha256)", data.sha256}},
                              [&](World& world) {
                                OnRankZero(world, [&] { run.RequireWritable(); });
                                pictures = run.Run(world, data);
                              });
  run.Draw(pictures);
  return code;
}

}  // namespace cddp
