#include "trainer/compare_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cddp/selection.h"
#include "cddp/status.h"
#include "ddp/launch_environment.h"
#include "trainer/comparison.h"
#include "trainer/config_file.h"
#include "trainer/data/file_bytes.h"
#include "trainer/device.h"
#include "trainer/number_range.h"
#include "trainer/plots/comparison_plot.h"
#include "trainer/rank_zero.h"
#include "trainer/report_file.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

const char* NoteOn(const TrainOptions& options) {
  return options.backend == "nccl" ? "Bytes are what NCCL was given to send."
                                   : "Bytes are what the workers' own sockets carried (TCP_INFO).";
}

// One of the trainings.
struct Variant {
  std::string label;
  TrainOptions options;  // resolved
};

std::vector<Variant> VariantsOf(const CompareOptions& compare) {
  for (const double ratio : compare.ratios) {
    const Status valid = ValidateRatio(ratio);
    if (!valid.ok()) throw StatusError(valid.code(), "--ratios: " + valid.message());
  }
  std::vector<Variant> variants;
  TrainOptions dense = WithoutCompression(compare.run);
  Resolve(dense, PresentDevices());
  if (compare.baseline) {
    variants.push_back({kBaseline, dense});
    variants.back().options.workers = 1;
  }
  variants.push_back({kDense, dense});
  const std::vector<double> one{compare.run.ratio};
  for (const double ratio : compare.ratios.empty() ? one : compare.ratios) {
    TrainOptions options = compare.run;
    options.ratio = ratio;
    Resolve(options, PresentDevices());
    variants.push_back({fmt::format("top {:g}%", 100 * ratio), options});
  }
  return variants;
}

std::string FolderName(const std::string& label) {
  std::string name = "compare-" + label;
  for (char& c : name) {
    if (c == ' ') c = '-';
    if (c == '%') c = 'p';
  }
  return name;
}

// Trains all, and keeps the files of the comparison up to date.
class CompareRun {
 public:
  CompareRun(const CompareOptions& compare, const DatasetSplits& data)
      : compare_(compare),
        data_(data),
        comparison_{.runs = {}, .target_accuracy_percent = compare.target_accuracy} {}

  void Run(World& world, const std::vector<Variant>& variants) {
    folder_ = NewRunFolder("compare", compare_.run, world);
    OnRankZero(world, [&] {
      WriteFileAtomically(folder_->path() / "config.yaml", ToYaml(compare_));
      spdlog::info("comparison of {} trainings in {}", variants.size(), folder_->path().string());
    });
    for (const Variant& variant : variants) {
      if (variant.label == kBaseline && world.size() > 1) {
        OnRankZeroAlone(world, [&](World& solo) { Train(variant, solo); });
      } else {
        Train(variant, world);
      }
    }
    OnRankZero(world, [&] { Report(); });
  }

  // Of the comparison, on rank 0; empty on others.
  std::filesystem::path folder() const {
    return folder_ ? folder_->path() : std::filesystem::path();
  }
  // What could not be saved, a line each.
  std::string not_saved() const { return not_saved_ + unwritten_; }

 private:
  void Train(const Variant& variant, World& world) {
    const auto folder = NewRunFolder(FolderName(variant.label), variant.options, world);
    const std::string path = folder ? folder->path().string() : "";
    spdlog::info("{}:", variant.label);
    if (folder && compare_.run.json_lines) {
      const nlohmann::ordered_json line = {
          {"kind", "training"}, {"label", variant.label}, {"run_folder", path}};
      std::cout << line.dump() << std::endl;
    }
    TrainingSummary summary = cddp::Train(variant.options, world, data_, folder.get());
    if (const std::string what = NotSaved(summary); !what.empty()) {
      not_saved_ += fmt::format("\n  {}: {}", variant.label, what);
    }
    comparison_.runs.push_back({variant.label, path, std::move(summary)});
    if (folder_) Write();
  }

  std::string Title() const {
    const TrainingSummary& last = comparison_.runs.back().summary;
    return fmt::format("{} on {}, {} worker(s), {} epoch(s), {} parameters, seed {}", last.model,
                       last.dataset, last.world_size, last.epochs, last.parameters,
                       compare_.run.seed);
  }

  // A full disk ends no training here either.
  void Write() {
    const std::filesystem::path folder = folder_->path();
    const std::string table = MarkdownTable(TableOf(comparison_));
    unwritten_.clear();
    try {
      WriteFileAtomically(folder / "comparison.json", ToJson(comparison_).dump(2) + '\n');
      WriteFileAtomically(folder / "comparison.md",
                          fmt::format("# {}\n\n{}\n{}\n", Title(), table, NoteOn(compare_.run)));
      WriteFileAtomically(folder / "comparison.csv", CsvOf(comparison_));
    } catch (const StatusError& error) {
      spdlog::warn("the files of the comparison: {}; training goes on", error.what());
      unwritten_ = fmt::format("\n  the comparison: {}", error.what());
    }
  }

  void Report() const {
    const bool taken = compare_.run.json == "-" || compare_.run.json_lines;
    std::FILE* out = taken ? stderr : stdout;
    fmt::print(out, "\n{}\n\n{}\n{}\n", Title(), AlignedTable(TableOf(comparison_)),
               NoteOn(compare_.run));
    std::fflush(out);
    WriteJsonReport(compare_.run.json, ToJson(comparison_));
    spdlog::info("comparison in {}", folder_->path().string());
  }

  const CompareOptions& compare_;
  const DatasetSplits& data_;
  Comparison comparison_;
  std::unique_ptr<RunFolder> folder_;  // of rank 0
  std::string not_saved_;
  std::string unwritten_;  // why the last Write failed
};

}  // namespace

std::string ToYaml(const CompareOptions& compare) {
  TrainOptions run = compare.run;
  Resolve(run, PresentDevices());
  run.momentum_masking = compare.run.momentum_masking;  // what auto is goes by each ratio
  return ToYaml(run, "compare",
                {{"ratios", compare.ratios},
                 {"baseline", compare.baseline},
                 {"target_accuracy", compare.target_accuracy},
                 {"no_plots", compare.no_plots}});
}

void AddCompareOptions(CLI::App* app, CompareOptions* o) {
  app->add_option(
         "--ratios", o->ratios,
         "Ratios to train with, one after another, such as 0.1,0.01,0.001 (empty: --ratio)")
      ->delimiter(',')
      ->group("Comparison");
  app->add_flag("--baseline", o->baseline,
                "Train with one worker, of as many threads as each of the others has, before")
      ->group("Comparison");
  app->add_option("--target-accuracy", o->target_accuracy,
                  "Say when an evaluation found this test accuracy, in percent (0: don't); see "
                  "--eval-every-steps")
      ->check(NumberRange(0, 100))
      ->group("Comparison");
  app->add_flag("--no-plots", o->no_plots, "Draw no picture")->group("Comparison");
  app->add_option("--save-every", o->run.save_every,
                  "Epochs from one checkpoint to the next, in each run's folder (0: none)")
      ->group("Checkpoints");
  app->add_option("--keep", o->run.keep,
                  "How many of the last checkpoints are kept, besides the best one")
      ->group("Checkpoints");
}

int CompareCommand(const CompareOptions& compare, const std::vector<std::string>& arguments) {
  const std::vector<Variant> variants = VariantsOf(compare);
  // What workers must agree on beside the options of the last training.
  const std::string command = fmt::format("compare of {} trainings, ratios {}", variants.size(),
                                          fmt::join(compare.ratios, " "));
  std::filesystem::path folder;  // of rank 0
  std::string not_saved;
  const int code = RunTraining(
      command, variants.back().options, arguments, [&](World& world, const DatasetSplits& data) {
        if (world.size() == 1) {
          spdlog::warn(
              "compare with one worker: nothing is sent, so there is no traffic to compare");
        }
        CompareRun run(compare, data);
        run.Run(world, variants);
        folder = run.folder();
        if (world.rank() == 0) not_saved = run.not_saved();
      });
  // Drawing may fail, and keeps no other worker waiting.
  if (!folder.empty() && !compare.no_plots) WriteComparisonPlot(folder);
  if (not_saved.empty()) return code;
  throw StatusError(StatusCode::kUnavailable,
                    "the comparison is done, but not all could be saved:" + not_saved);
}

}  // namespace cddp
