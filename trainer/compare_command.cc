#include "trainer/compare_command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>

#include "cddp/status.h"
#include "ddp/launch_environment.h"
#include "trainer/comparison.h"
#include "trainer/plots/comparison_plot.h"
#include "trainer/solo_world.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

// One of the trainings.
struct Variant {
  std::string label;
  TrainOptions options;  // resolved
};

// The same training without what is of compression.
TrainOptions Dense(TrainOptions options) {
  const TrainOptions none;
  options.compress = false;
  options.collective = "dense";
  options.clip_norm = none.clip_norm;
  options.momentum_masking = none.momentum_masking;
  options.warmup_epochs = none.warmup_epochs;
  options.adaptive_ratio = none.adaptive_ratio;
  options.values = none.values;
  options.indices = none.indices;
  options.stochastic_rounding = none.stochastic_rounding;
  options.plan = none.plan;
  Resolve(options);
  return options;
}

std::vector<Variant> VariantsOf(const CompareOptions& compare) {
  std::vector<Variant> variants;
  const TrainOptions dense = Dense(compare.run);
  if (compare.baseline) variants.push_back({kBaseline, dense});
  variants.push_back({kDense, dense});
  const std::vector<double> one{compare.run.ratio};
  for (const double ratio : compare.ratios.empty() ? one : compare.ratios) {
    TrainOptions options = compare.run;
    options.ratio = ratio;
    Resolve(options);
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

ComparedRun TrainVariant(const Variant& variant, World& world, const DatasetSplits& data) {
  const auto folder = NewRunFolder(FolderName(variant.label), variant.options, world);
  spdlog::info("{}:", variant.label);
  TrainingSummary summary = Train(variant.options, world, data, folder.get());
  return {variant.label, folder ? folder->path().string() : "", std::move(summary)};
}

void Report(const CompareOptions& compare, const Comparison& comparison, World& world) {
  const TrainingSummary& dense = comparison.runs.back().summary;
  const std::string title = fmt::format(
      "{} on {}, {} worker(s), {} epoch(s), {} parameters, seed {}", dense.model, dense.dataset,
      dense.world_size, dense.epochs, dense.parameters, compare.run.seed);
  const std::string note = "Bytes are what the workers' own sockets carried (TCP_INFO).";
  const auto table = TableOf(comparison);
  std::FILE* out = compare.run.json == "-" ? stderr : stdout;
  fmt::print(out, "\n{}\n\n{}\n{}\n", title, AlignedTable(table), note);
  std::fflush(out);

  const nlohmann::json report = ToJson(comparison);
  const auto folder = NewRunFolder("compare", compare.run, world)->path();
  WriteWhole(folder / "comparison.json", report.dump(2) + '\n');
  WriteWhole(folder / "comparison.md",
             fmt::format("# {}\n\n{}\n{}\n", title, MarkdownTable(table), note));
  WriteWhole(folder / "comparison.csv", CsvOf(comparison));
  WriteJsonReport(compare.run.json, report);
  spdlog::info("comparison in {}", folder.string());
  if (!compare.no_plots) WriteComparisonPlot(folder);
}

}  // namespace

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
      ->check(CLI::Range(0.0, 100.0))
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
  // What workers must agree on beside the options of the first compressed training.
  const std::string command = fmt::format("compare of {} trainings, ratios {}", variants.size(),
                                          fmt::join(compare.ratios, " "));
  return RunTraining(
      command, variants.back().options, arguments, [&](World& world, const DatasetSplits& data) {
        if (world.size() == 1) {
          spdlog::warn(
              "compare with one worker: nothing is sent, so there is no traffic to compare");
        }
        Comparison comparison{.target_accuracy_percent = compare.target_accuracy};
        for (const Variant& variant : variants) {
          if (variant.label == kBaseline && world.size() > 1) {
            OnRankZeroAlone(world, [&](World& solo) {
              comparison.runs.push_back(TrainVariant(variant, solo, data));
            });
          } else {
            comparison.runs.push_back(TrainVariant(variant, world, data));
          }
        }
        if (world.rank() == 0) Report(compare, comparison, world);
      });
}

}  // namespace cddp
