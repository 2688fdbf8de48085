#include "trainer/run_output.h"

#include <spdlog/spdlog.h>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/plan_file.h"

namespace cddp {

RunOutput::RunOutput(const RunFolder* folder, const TrainOptions& options, Collective* collective)
    : folder_(folder), collective_(collective) {
  if (folder == nullptr) return;
  metrics_ = std::make_unique<MetricsLog>(folder->path(), options.tensorboard, options.json_lines);
}

void RunOutput::Append(const std::string& kind, uint64_t step, const nlohmann::json& record) {
  if (metrics_) metrics_->Append(kind, step, record);
}

void RunOutput::BeginEpoch() {
  if (const Compression* compression = collective_->compression()) layers_.BeginEpoch(*compression);
}

void RunOutput::Write(const TrainingSummary& summary) {
  if (folder_ == nullptr) return;
  std::string failure;
  try {
    WriteFiles(summary);
  } catch (const StatusError& error) {
    failure = error.what();
    if (failure_.empty()) {
      spdlog::warn("the run folder is not up to date: {}; training goes on", failure);
    }
  }
  failure_ = failure;
}

void RunOutput::WriteFiles(const TrainingSummary& summary) const {
  folder_->Write(summary);
  if (const Compression* compression = collective_->compression()) {
    WriteFileAtomically(folder_->path() / "layers.json",
                        layers_.Record(summary.epochs, *compression).dump(1) + '\n');
  }
  if (collective_->plan() != nullptr) {
    WriteFileAtomically(folder_->path() / "plan.json", ToJson(*collective_->plan()).dump(1) + '\n');
  }
}

std::string RunOutput::failure() const {
  return failure_.empty() && metrics_ ? metrics_->failure() : failure_;
}

}  // namespace cddp
