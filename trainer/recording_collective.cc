#include "trainer/recording_collective.h"

#include <vector>

#include "trainer/gradient_recording.h"

namespace cddp {
namespace {

class RecordingCollective final : public Collective {
 public:
  RecordingCollective(const RecordingOptions& options, std::unique_ptr<Collective> inner)
      : options_(options), inner_(std::move(inner)), recorder_(options.file) {}

  std::string_view name() const override { return inner_->name(); }
  bool on_device() const override { return inner_->on_device(); }
  Compression* compression() override { return inner_->compression(); }
  Compressor* compressor() override { return inner_->compressor(); }
  Memory* owner_memory() override { return inner_->owner_memory(); }
  CollectiveTimes times() const override { return inner_->times(); }
  const Plan* plan() const override { return inner_->plan(); }
  bool settled() const override { return inner_->settled(); }

  Status BeginStep(uint64_t step) override { return inner_->BeginStep(step); }

  Status Prepare(const Bucket& bucket) override {
    if (Due()) {
      step_ = bucket.step;
      for (const BucketParameter& parameter : bucket.parameters) {
        const auto gradient = bucket.values.subspan(parameter.offset, parameter.count);
        pending_.push_back({parameter.name, {gradient.begin(), gradient.end()}});
      }
    }
    return inner_->Prepare(bucket);
  }

  Status Exchange(const Bucket& bucket) override { return inner_->Exchange(bucket); }

  StepOutcome EndStep() override {
    const StepOutcome outcome = inner_->EndStep();
    if (Due() && outcome == StepOutcome::kCommitted) {
      for (const RecordedParameter& parameter : pending_) {
        recorder_.Add(step_, parameter.name, parameter.gradient);
      }
      recorder_.EndStep();
      ++recorded_;
    }
    pending_.clear();
    ++steps_;
    return outcome;
  }

 private:
  bool Due() const { return steps_ % options_.every == 0 && recorded_ < options_.max_steps; }

  const RecordingOptions options_;
  std::unique_ptr<Collective> inner_;
  GradientRecorder recorder_;
  std::vector<RecordedParameter> pending_;
  uint64_t step_ = 0;
  uint64_t steps_ = 0;  // ended
  uint64_t recorded_ = 0;
};

}  // namespace

std::unique_ptr<Collective> MakeRecordingCollective(const RecordingOptions& options,
                                                    std::unique_ptr<Collective> inner) {
  return std::make_unique<RecordingCollective>(options, std::move(inner));
}

}  // namespace cddp
