// StepLog: what the steps of a training cost and give, on one worker: the records of its
// MetricsLog every so many steps, and the means of an epoch.
//
//   log.BeginEpoch();
//   for each step:
//     log.BeginStep();
//     ... log.Lap(StepPhase::kData); ... log.Lap(StepPhase::kForward); ...
//     log.EndStep(result);
//   log.EpochMeans();
//
// Costs some clock readings a step; traffic and memories are read only for a record.
//
// One thread, between the collective's steps.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>

#include "cddp/collective.h"
#include "ddp/socket_bytes.h"
#include "trainer/history.h"
#include "trainer/metrics_log.h"

namespace cddp {

enum class StepPhase {
  kData,       // taking the samples, augmenting included where it is waited for
  kForward,    // the loss included
  kBackward,   // until the last gradient is there
  kExposed,    // from then on, until all gradients are synchronised
  kOptimizer,  // the end of the step included
};
inline constexpr size_t kStepPhases = 5;

struct StepResult {
  uint64_t step = 0;  // of the run, from 1
  int epoch = 0;      // from 1
  double learning_rate = 0;
  // Sums over this worker's samples; of a void step there are none.
  double loss = 0;
  double correct = 0;
  double samples = 0;
  double global_samples = 0;  // of all workers
};

class StepLog {
 public:
  // Appends to `metrics` every `every` steps (null or 0: never). `collective` and `metrics`
  // outlive it; `traffic` says what the gradients' sockets have carried.
  StepLog(MetricsLog* metrics, int every, Collective* collective,
          std::function<TrafficBytes()> traffic);

  void BeginEpoch();
  void BeginStep();
  // The time since the last lap, or since BeginStep, belongs to `phase`.
  void Lap(StepPhase phase);
  // Of what the last lap was given, `time` belongs to `to` instead.
  void Move(StepPhase from, StepPhase to, std::chrono::nanoseconds time);
  void EndStep(const StepResult& result);

  // Since BeginEpoch.
  StepMeans EpochMeans() const;

 private:
  using Clock = std::chrono::steady_clock;

  // What has gathered since a moment.
  struct Window {
    Clock::time_point start;
    TrafficBytes traffic;
    CompressionStatistics statistics;
    std::array<std::chrono::nanoseconds, kStepPhases> times{};
    double steps = 0;
    double loss = 0;
    double correct = 0;
    double samples = 0;
    double global_samples = 0;
  };
  Window NewWindow() const;
  CompressionStatistics Statistics() const;
  StepMeans Means(const Window& window) const;
  nlohmann::json Record(const StepResult& last) const;

  MetricsLog* metrics_;
  double every_;
  Collective* collective_;
  std::function<TrafficBytes()> traffic_;
  Window epoch_;
  Window record_;
  Clock::time_point lap_;
};

}  // namespace cddp
