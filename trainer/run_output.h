// RunOutput: what a training leaves in its run folder: metrics as it goes, and after each
// epoch its history, summary, layers and plan.
//
// A full disk ends no training: what cannot be written is left out, with a warning when that
// begins.
//
// One thread.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cddp/collective.h"
#include "trainer/history.h"
#include "trainer/layer_log.h"
#include "trainer/metrics_log.h"
#include "trainer/options.h"

namespace cddp {

class RunOutput {
 public:
  // With a null `folder` nothing is kept. It must outlive this, as must `collective`. Throws
  // StatusError(kUnavailable) when the metrics' files cannot be made.
  RunOutput(const RunFolder* folder, const TrainOptions& options, Collective* collective);

  // For what appends records on its own; null where nothing is kept.
  MetricsLog* metrics() { return metrics_.get(); }
  void Append(const std::string& kind, uint64_t step, const nlohmann::json& record);

  void BeginEpoch();
  // Rewrites the files of the epochs so far.
  void Write(const TrainingSummary& summary);

  // Why something is missing there, or empty.
  std::string failure() const;

 private:
  void WriteFiles(const TrainingSummary& summary) const;

  const RunFolder* folder_;
  Collective* collective_;
  std::unique_ptr<MetricsLog> metrics_;
  LayerLog layers_;
  std::string failure_;  // of the last Write
};

}  // namespace cddp
