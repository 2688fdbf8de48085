#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>

#include "ddp/launch_environment.h"
#include "trainer/commands.h"
#include "trainer/data/dataset.h"
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
  options.warmup_epochs = none.warmup_epochs;
  options.adaptive_ratio = none.adaptive_ratio;
  options.values = none.values;
  options.indices = none.indices;
  options.stochastic_rounding = none.stochastic_rounding;
  Resolve(options);
  return options;
}

double Times(double a, double b) { return b > 0 ? a / b : 0.0; }

void PrintTable(std::FILE* out, const TrainOptions& options, const TrainingSummary& dense,
                const TrainingSummary& sparse) {
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

int CompareCommand(const TrainOptions& options, const std::vector<std::string>& arguments) {
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

    PrintTable(options.json == "-" ? stderr : stdout, options, dense, sparse);
    nlohmann::json reduction;  // null where nothing was sent
    if (sparse.tx_bytes_per_step > 0) {
      reduction = Times(dense.tx_bytes_per_step, sparse.tx_bytes_per_step);
    }
    const nlohmann::json report = {
        {"dense", ToJson(dense)},
        {"compressed", ToJson(sparse)},
        {"accuracy_difference_percent", sparse.test_accuracy_percent - dense.test_accuracy_percent},
        {"tx_bytes_reduction", reduction},
        {"epoch_speedup", Times(dense.epoch_s_mean, sparse.epoch_s_mean)},
        {"run_folders", {dense_folder->path().string(), sparse_folder->path().string()}}};
    WriteWhole(sparse_folder->path() / "comparison.json", report.dump(2) + '\n');
    WriteJsonReport(options.json, report);
  });
}

}  // namespace cddp
