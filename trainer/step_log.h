// StepLog: what the steps of a training cost and give, on one worker: the records of its
// MetricsLog every so many steps, and the means of an epoch.
//
//   for each epoch:
//     log.BeginEpoch();
//     for each step:
//       log.BeginStep();
//       ... log.Lap(StepPhase::kData); ... log.Lap(StepPhase::kForward); ...
//       log.EndStep(result);
//     log.EndEpoch();
//
// Records go on over the end of an epoch. What happens between two epochs, or is excluded,
// counts for nothing.
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
#include "trainer/tally.h"

namespace cddp {

enum class StepPhase {
  kData,       // rank 0's buffers to all, and taking the samples
  kForward,    // the loss included
  kBackward,   // until the last gradient is there, or on a GPU under way
  kExposed,    // from then on, until all gradients are synchronised
  kOptimizer,  // the end of the step included
};
inline constexpr size_t kStepPhases = 5;

struct StepResult {
  uint64_t step = 0;  // of the run, from 1
  int epoch = 0;      // from 1
  double learning_rate = 0;
  Tally tally;                // of this worker; of a void step there are no samples
  double global_samples = 0;  // of all workers
};

class StepLog {
 public:
  // Appends to `metrics` every `every` steps (null or 0: never). `collective` and `metrics`
  // outlive it; `traffic` says what the gradients' sockets have carried.
  StepLog(MetricsLog* metrics, int every, Collective* collective,
          std::function<TrafficBytes()> traffic);

  void BeginEpoch();
  // Of the epoch.
  StepMeans EndEpoch();

  // What was no training, between two steps, though in the epoch.
  void Exclude(std::chrono::nanoseconds time, const TrafficBytes& traffic);

  void BeginStep();
  // The time since the last lap, or since BeginStep, belongs to `phase`.
  void Lap(StepPhase phase);
  // Of what the last lap was given, `time` belongs to `to` instead.
  void Move(StepPhase from, StepPhase to, std::chrono::nanoseconds time);
  void EndStep(const StepResult& result);

 private:
  using Clock = std::chrono::steady_clock;

  // A moment, and what the sockets had carried then.
  struct Mark {
    Clock::time_point time;
    TrafficBytes traffic;
  };
  // What has gathered since a moment.
  struct Window {
    CompressionStatistics statistics;  // then
    std::array<std::chrono::nanoseconds, kStepPhases> times{};
    double steps = 0;
  };
  struct RecordWindow : Window {
    Mark start;
    Tally tally;
    double global_samples = 0;
  };
  std::array<Window*, 2> Windows() { return {&epoch_, &record_}; }
  Mark Now() const { return {Clock::now(), traffic_()}; }
  CompressionStatistics Statistics() const;
  StepMeans Means(const Window& window) const;
  nlohmann::json Record(const StepResult& last) const;

  MetricsLog* metrics_;
  double every_;
  Collective* collective_;
  std::function<TrafficBytes()> traffic_;
  Window epoch_;
  RecordWindow record_;
  Mark pause_;  // the end of the last epoch
  Clock::time_point lap_;
};

}  // namespace cddp
