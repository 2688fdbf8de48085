// How far a training run has come, as its checkpoints keep it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "trainer/history.h"
#include "trainer/loss_scaler.h"
#include "trainer/tally.h"

namespace cddp {

// What one step leaves to the next, besides weights and states.
struct StepState {
  LossScaler::State scaler;
  int void_in_a_row = 0;
};

struct TrainingProgress {
  int epoch = 1;               // the one in progress, from 1
  uint32_t samples = 0;        // of it that are done, by all workers together
  uint64_t void_steps = 0;     // in it so far
  std::optional<double> best;  // merit of the best checkpoint
  StepState step;
  std::vector<EpochRecord> history;
  std::vector<EvaluationRecord> evaluations;
};

// What makes one epoch's parameters better than another's, the more the better: test
// accuracy, or of a text, fewer bits per byte.
double MeritOf(const EpochRecord& record);

// What a worker has counted in the epoch in progress.
struct EpochSums {
  Tally tally;
  double sent = 0;  // bytes
  double received = 0;
  double seconds = 0;
};

nlohmann::json ToJson(const TrainingProgress& progress);
nlohmann::json ToJson(const EpochSums& sums);

// Throw StatusError(kCorrupt) naming what is missing or of the wrong type.
TrainingProgress ProgressFromJson(const nlohmann::json& json);
EpochSums EpochSumsFromJson(const nlohmann::json& json);

}  // namespace cddp
