#include "trainer/training_collective.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <utility>

#include "cddp/status.h"
#include "ddp/device_collective.h"
#include "trainer/plan_file.h"
#include "trainer/recording_collective.h"

namespace cddp {
namespace {

// For gradients that stay on the device; null where they are to be copied to the host.
std::unique_ptr<Collective> DeviceCollective(const TrainOptions& options, at::Device device,
                                             const CompressorOptions& compression,
                                             Transport* transport, bool has_plan) {
  const bool gathers =
      options.collective == "gather" || (options.collective == "auto" && !has_plan);
  const bool tells = transport->rank() == 0;
  std::unique_ptr<Collective> collective;
  std::string why = fmt::format("--collective {} is the CPU's",
                                has_plan ? "auto with a plan" : options.collective);
  if (gathers) {
    try {
      collective = MakeDeviceCollective(device, compression, transport);
    } catch (const StatusError& error) {
      if (error.code() != StatusCode::kInvalidArgument) throw;
      why = error.what();
    }
  }
  if (!tells) return collective;
  if (collective) {
    spdlog::info("{}: gradients are compressed there, frames go to all workers (gather{})",
                 device.str(), options.collective == "auto" ? "; nothing is measured" : "");
  } else {
    spdlog::warn("{}: gradients are copied to the host and compressed by the CPU: {}", device.str(),
                 why);
  }
  return collective;
}

std::unique_ptr<Collective> MakeCollective(const TrainOptions& options, at::Device device,
                                           int threads, Transport* transport,
                                           const PlanSoFar& so_far, DeviceTransport* nccl) {
  const bool alone = transport->world_size() == 1;
  // Gradients are recorded in the host's memory.
  if (!options.compress && !device.is_cpu() && (alone || nccl != nullptr) &&
      options.record_gradients.empty()) {
    return MakeDenseDeviceCollective(device, nccl);
  }
  if (nccl != nullptr) transport = nccl;
  if (!options.compress) return MakeDenseCollective(transport);
  FrameFormat format{.stochastic = options.stochastic_rounding, .seed = options.seed};
  ThrowIfError(ParseIndexFormat(options.indices, &format.indices));
  ThrowIfError(ParseValueFormat(options.values, &format.values));
  const CompressorOptions compression{
      .ratio = options.ratio,
      .whole_limit = static_cast<uint32_t>(options.whole_limit),
      .selector = {.name = options.selector, .threads = threads, .seed = options.seed},
      .memory = {.name = options.memory,
                 .momentum = options.memory == "dgc" ? options.momentum : 0.0,
                 .nesterov = options.nesterov,
                 .clip_norm = options.clip_norm,
                 .momentum_masking = options.momentum_masking == "on"},
      .format = format,
      .adaptive_every = static_cast<uint32_t>(options.adaptive_ratio)};
  const bool has_plan = !options.plan.empty() || so_far.plan != nullptr;
  std::unique_ptr<Collective> collective;
  if (!device.is_cpu()) {
    collective = DeviceCollective(options, device, compression, transport, has_plan);
  }
  if (collective) return collective;
  // With one worker there is nothing to measure, and dense steps would not compress.
  if (options.collective == "auto" && (has_plan || !alone)) {
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

}  // namespace

std::unique_ptr<Collective> MakeTrainingCollective(const TrainOptions& options, at::Device device,
                                                   int threads, Transport* transport,
                                                   const PlanSoFar& so_far, DeviceTransport* nccl) {
  auto collective = MakeCollective(options, device, threads, transport, so_far, nccl);
  if (options.record_gradients.empty()) return collective;
  if (collective->on_device()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("--record-gradients reads gradients in the host's memory, these "
                                  "stay on {}: use --collective dense or split, or --device cpu",
                                  device.str()));
  }
  if (transport->rank() != 0) return collective;
  return MakeRecordingCollective(
      {.file = options.record_gradients, .every = static_cast<uint64_t>(options.record_every)},
      std::move(collective));
}

}  // namespace cddp
