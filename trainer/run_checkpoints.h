// When a training run saves checkpoints: every so many steps and epochs, and when a signal
// asks it to stop.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "trainer/checkpoint.h"
#include "trainer/stop_signal.h"

namespace cddp {

class RunCheckpoints {
 public:
  // With an empty `folder` nothing is saved, and signals do what they always do. `options`
  // are resolved and must outlive this, as must `state`. Collective; throws as CheckpointWriter.
  RunCheckpoints(const TrainOptions& options, World& world, const std::filesystem::path& folder,
                 const TrainedState& state);

  // After each step, of which `step` are done; `evaluated`, on all workers: an evaluation followed
  // it, which took its time. Saves what `loop` gives if it is time. After SIGTERM or SIGUSR1 to any
  // worker it saves and throws SharedError(kInterrupted), or kUnavailable when that could not be
  // saved. Collective.
  void AfterStep(uint64_t step, bool evaluated, const std::function<LoopState()>& loop);

  // Whether AfterEpoch will save.
  bool DueAfter(int epoch) const;
  // After each epoch, evaluated. Returns whether it has saved. Collective.
  bool AfterEpoch(int epoch, const LoopState& loop);

  // Whether there is a best one among those saved so far; true also where none are saved.
  // Collective.
  bool HasBest() const { return !writer_ || writer_->HasBest(); }

  // Why the last attempt to save failed, on every rank; empty when it did not.
  std::string failure() const { return writer_ ? writer_->failure() : std::string(); }

  // Spent in here so far.
  std::chrono::steady_clock::duration time() const { return time_; }

 private:
  bool Save(const LoopState& loop);

  const TrainOptions& options_;
  const TrainedState& state_;
  std::optional<CheckpointWriter> writer_;
  std::optional<StopAgreement> stop_;
  std::chrono::steady_clock::duration time_{0};
};

}  // namespace cddp
