#include "trainer/training_collective.h"

#include <spdlog/spdlog.h>

#include <optional>

#include "cddp/status.h"
#include "trainer/plan_file.h"

namespace cddp {

std::unique_ptr<Collective> MakeTrainingCollective(const TrainOptions& options, int threads,
                                                   Transport* transport, const PlanSoFar& so_far) {
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
                 .clip_norm = options.clip_norm,
                 .momentum_masking = options.momentum_masking == "on"},
      .format = format,
      .adaptive_every = static_cast<uint32_t>(options.adaptive_ratio)};
  std::unique_ptr<Collective> collective;
  if (options.collective == "auto") {
    const std::optional<Plan> given =
        options.plan.empty() ? std::nullopt : std::optional(ReadPlan(options.plan));
    const Plan* frozen = given ? &*given : so_far.settled ? so_far.plan : nullptr;
    ThrowIfError(MakeAutoCollective(transport,
                                    {.compression = compression,
                                     .owner_budget = options.owner_budget,
                                     .frozen = frozen,
                                     .begun = frozen ? nullptr : so_far.plan,
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

}  // namespace cddp
