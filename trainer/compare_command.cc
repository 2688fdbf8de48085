#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <optional>

#include "ddp/launch_environment.h"
#include "trainer/commands.h"
#include "trainer/data/samples.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

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
  Resolve(options);
  return options;
}

// Seconds of training, without evaluations, after which the test accuracy was there; no
// more exact than to an epoch.
std::optional<double> SecondsToAccuracy(const TrainingSummary& summary, double percent) {
  double seconds = 0;
  for (const EpochRecord& epoch : summary.history) {
    seconds += epoch.epoch_s;
    if (epoch.test_accuracy_percent >= percent) return seconds;
  }
  return std::nullopt;
}

double Times(double a, double b) { return b > 0 ? a / b : 0.0; }

void PrintTable(std::FILE* out, const TrainOptions& options, double target_accuracy,
                const TrainingSummary& dense, const TrainingSummary& sparse) {
  fmt::print(out, "\n{} on {}, {} worker(s), {} epoch(s), {} parameters, seed {}\n\n", dense.model,
             dense.dataset, dense.world_size, dense.epochs, dense.parameters, options.seed);
  const auto row = [&](const char* name, const std::string& a, const std::string& b,
                       const std::string& c) {
    fmt::print(out, "{:<34} {:>14} {:>14} {:>14}\n", name, a, b, c);
  };
  row("", "dense", fmt::format("top {}%", 100 * sparse.ratio), "ratio");
  row("test accuracy (%)", fmt::format("{:.2f}", dense.test_accuracy_percent),
      fmt::format("{:.2f}", sparse.test_accuracy_percent),
      fmt::format("{:+.2f} points", sparse.test_accuracy_percent - dense.test_accuracy_percent));
  row("epoch time (s)", fmt::format("{:.2f}", dense.epoch_s_mean),
      fmt::format("{:.2f}", sparse.epoch_s_mean),
      fmt::format("{:.2f}x", Times(dense.epoch_s_mean, sparse.epoch_s_mean)));
  if (target_accuracy > 0) {
    const auto a = SecondsToAccuracy(dense, target_accuracy);
    const auto b = SecondsToAccuracy(sparse, target_accuracy);
    const auto text = [](const std::optional<double>& seconds) {
      return seconds ? fmt::format("{:.2f}", *seconds) : std::string("not reached");
    };
    row(fmt::format("time to {}% test accuracy (s)", target_accuracy).c_str(), text(a), text(b),
        a && b ? fmt::format("{:.2f}x", Times(*a, *b)) : "-");
  }
  row("step time, median (ms)", fmt::format("{:.2f}", dense.step_ms_median),
      fmt::format("{:.2f}", sparse.step_ms_median),
      fmt::format("{:.2f}x", Times(dense.step_ms_median, sparse.step_ms_median)));
  row("images/s", fmt::format("{:.0f}", dense.images_per_s),
      fmt::format("{:.0f}", sparse.images_per_s),
      fmt::format("{:.2f}x", Times(sparse.images_per_s, dense.images_per_s)));
  row("bytes sent per worker and step", fmt::format("{:.0f}", dense.tx_bytes_per_step),
      fmt::format("{:.0f}", sparse.tx_bytes_per_step),
      sparse.tx_bytes_per_step > 0
          ? fmt::format("{:.1f}x", Times(dense.tx_bytes_per_step, sparse.tx_bytes_per_step))
          : "-");
  fmt::print(out, "\nBytes are what the workers' own sockets carried (TCP_INFO).\n");
}

}  // namespace

int CompareCommand(const TrainOptions& options, double target_accuracy,
                   const std::vector<std::string>& arguments) {
  const TrainOptions dense_options = Dense(options);
  return RunTraining("compare", options, arguments, [&](World& world, const DatasetSplits& data) {
    const auto dense_folder = NewRunFolder("compare-dense", dense_options, world);
    const auto sparse_folder = NewRunFolder("compare-compressed", options, world);
    if (world.size() == 1) {
      spdlog::warn("compare with one worker: nothing is sent, so there is no traffic to compare");
    }
    spdlog::info("dense:");
    const TrainingSummary dense = Train(dense_options, world, data, dense_folder.get());
    spdlog::info("compressed (top {}%):", 100 * options.ratio);
    const TrainingSummary sparse = Train(options, world, data, sparse_folder.get());
    if (world.rank() != 0) return;

    PrintTable(options.json == "-" ? stderr : stdout, options, target_accuracy, dense, sparse);
    nlohmann::json reduction;  // null where nothing was sent
    if (sparse.tx_bytes_per_step > 0) {
      reduction = Times(dense.tx_bytes_per_step, sparse.tx_bytes_per_step);
    }
    nlohmann::json seconds;  // null where none was asked for
    if (target_accuracy > 0) {
      const auto number = [&](const TrainingSummary& summary) {
        const auto reached = SecondsToAccuracy(summary, target_accuracy);
        return reached ? nlohmann::json(*reached) : nlohmann::json();
      };
      seconds = {{"target_accuracy_percent", target_accuracy},
                 {"dense", number(dense)},
                 {"compressed", number(sparse)}};
    }
    const nlohmann::json report = {
        {"dense", ToJson(dense)},
        {"compressed", ToJson(sparse)},
        {"accuracy_difference_percent", sparse.test_accuracy_percent - dense.test_accuracy_percent},
        {"tx_bytes_reduction", reduction},
        {"epoch_speedup", Times(dense.epoch_s_mean, sparse.epoch_s_mean)},
        {"seconds_to_accuracy", seconds},
        {"run_folders", {dense_folder->path().string(), sparse_folder->path().string()}}};
    WriteWhole(sparse_folder->path() / "comparison.json", report.dump(2) + '\n');
    WriteJsonReport(options.json, report);
  });
}

}  // namespace cddp
