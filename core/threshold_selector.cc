#include <algorithm>
#include <bit>

#include "cddp/selection.h"
#include "core/candidates.h"
#include "core/sweep.h"

namespace cddp {
namespace {

class ThresholdSelector final : public Selector {
 public:
  explicit ThresholdSelector(double threshold)
      : threshold_(std::bit_cast<uint32_t>(static_cast<float>(threshold)) & kMagnitudeMask) {}

  std::string_view name() const override { return "threshold"; }

  void Select(std::string_view, Accumulation& accumulation, size_t k, uint32_t base,
              Selection* out) override {
    ++calls_;
    k = std::min(k, accumulation.size());
    if (k == 0) {
      accumulation.Values();
      return;
    }
    candidates_.Begin(k, threshold_);
    candidates_.Gather(Pass::kFirst, accumulation, pool_);
    if (candidates_.size() < k && candidates_.guessed()) {
      // Are there really so few, or did the first pass take the threshold too high?
      ++second_sweeps_;
      candidates_.PutBack(accumulation);
      candidates_.Begin(k, threshold_);
      candidates_.Gather(Pass::kAgain, accumulation, pool_);
    }
    candidates_.Finish(base, accumulation, pool_, out);
  }
  using Selector::Select;

 private:
  const uint32_t threshold_;
  WorkerPool pool_{1};
  Candidates candidates_;
};

}  // namespace

std::unique_ptr<Selector> MakeThresholdSelector(double threshold) {
  return std::make_unique<ThresholdSelector>(threshold);
}

}  // namespace cddp
