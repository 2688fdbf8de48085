// The baseline: the transport's own allreduce, then the division by P.
#include <algorithm>
#include <limits>
#include <utility>

#include "cddp/collective.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class DenseCollective final : public Collective {
 public:
  explicit DenseCollective(Transport* transport) : transport_(transport) {}

  std::string_view name() const override { return "dense"; }

  Status AllReduceMean(const Bucket& bucket) override {
    CDDP_RETURN_IF_ERROR(transport_->AllReduceSum(bucket.values));
    const auto ranks = static_cast<float>(transport_->world_size());
    if (ranks != 1.0f) {
      for (float& value : bucket.values) value /= ranks;
    }
    // NaN and Inf spread through the sum, so that all ranks see them alike.
    if (!AllFinite(bucket.values)) {
      void_ = true;
      std::ranges::fill(bucket.values, std::numeric_limits<float>::quiet_NaN());
    }
    return Status::Ok();
  }

  StepOutcome EndStep() override {
    return std::exchange(void_, false) ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

 private:
  Transport* transport_;
  bool void_ = false;
};

}  // namespace

std::unique_ptr<Collective> MakeDenseCollective(Transport* transport) {
  return std::make_unique<DenseCollective>(transport);
}

}  // namespace cddp
