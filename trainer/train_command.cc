#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cddp/status.h"
#include "ddp/launch_environment.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/commands.h"
#include "trainer/data/samples.h"
#include "trainer/progress.h"
#include "trainer/rank_zero.h"
#include "trainer/report_file.h"
#include "trainer/training.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

std::string RunName(const TrainOptions& options) {
  const std::string how =
      options.compress ? fmt::format("{}{}", options.selector, options.ratio) : "dense";
  return fmt::format("{}-{}-{}", options.model, options.dataset, how);
}

std::string GradientsOf(const TrainOptions& options) {
  if (!options.compress) return "dense gradients";
  const bool is_top = options.selector == "topk";
  return fmt::format("{}{}% of the gradient{} by {}, memory {}", is_top ? "top " : "",
                     100 * options.ratio, is_top ? "" : fmt::format(" ({})", options.selector),
                     options.collective, options.memory);
}

void PrintSummary(const TrainOptions& options, const TrainingSummary& s,
                  const std::string& folder) {
  if (s.test_bits_per_byte) {
    spdlog::info("validation       {:.3f} bits per byte", *s.test_bits_per_byte);
  } else {
    spdlog::info("test accuracy    {:.2f}%", s.test_accuracy_percent);
  }
  if (s.step_ms_median > 0) {
    spdlog::info("throughput       {}, {:.2f} ms per step (median), {} per epoch",
                 FormatRate(s.images_per_s, s.test_bits_per_byte.has_value()), s.step_ms_median,
                 FormatDuration(s.epoch_s_mean));
  }
  const double dense = 4.0 * static_cast<double>(s.parameters);
  if (s.world_size == 1) {
    spdlog::info("gradient traffic none: one worker sends nothing");
  } else {
    spdlog::info("gradient traffic {} sent, {} received per worker and step (gradient: {}){}",
                 FormatBytes(s.tx_bytes_per_step), FormatBytes(s.rx_bytes_per_step),
                 FormatBytes(dense),
                 s.collective == "auto" && options.plan.empty()
                     ? "; steps in which auto tried its ways are among them"
                     : "");
  }
  if (s.void_steps > 0) {
    spdlog::warn("{} of {} steps were void (non-finite gradients)", s.void_steps, s.steps);
  }
  spdlog::info("run folder       {}", folder);
}

}  // namespace

int TrainCommand(const TrainOptions& options, const std::vector<std::string>& arguments) {
  if (!options.resume.empty() && options.resume != "auto" &&
      ReadLaunchEnvironment().launcher.empty()) {
    // Else what is no checkpoint would cost a run folder, and workers.
    (void)LocateCheckpoint(options.resume, [](const std::string&) {});
  }
  std::string failure;
  const auto train = [&](World& world, const DatasetSplits& data) {
    if (options.compress && world.size() == 1) {
      spdlog::warn("--compress with one worker: the gradient is compressed, but nothing is sent");
    }
    const auto folder = NewRunFolder(RunName(options), options, world);
    if (world.rank() == 0) {
      spdlog::info("training {} on {} with {} worker(s) on {}, {}", options.model, options.dataset,
                   world.size(), options.device, GradientsOf(options));
    }
    const TrainingSummary summary = Train(options, world, data, folder.get());
    OnRankZero(world, [&] {
      PrintSummary(options, summary, folder->path().string());
      failure = NotSaved(summary);
      WriteJsonReport(options.json, ToJson(summary));
    });
  };
  const int code = RunTraining("train", options, arguments, train);
  if (failure.empty()) return code;
  throw StatusError(StatusCode::kUnavailable, "training is done, but " + failure);
}

}  // namespace cddp
