// Exact Top-K in one sweep. A threshold a little below the k-th largest magnitude
// of the parameter's last step lets through a little more than k entries; the k
// largest among those are the answer. When fewer than k come through, the entries
// go back and a second sweep with threshold zero finds them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <map>

#include "cddp/selection.h"
#include "core/candidates.h"
#include "core/sweep.h"
#include "core/threshold_forecast.h"
#include "core/worker_pool.h"

namespace cddp {
namespace {

// A magnitude that about k of the elements reach, rather more than fewer, judged
// by a sample of whole cache lines spread over the parameter.
uint32_t ThresholdOfSample(const Accumulation& accumulation, size_t k) {
  constexpr size_t kLine = 16;
  constexpr size_t kMaxLines = 1024;
  const size_t n = accumulation.size();
  const size_t lines = std::min(kMaxLines, n / (8 * kLine));
  const double samples = static_cast<double>(lines * kLine);
  const double expected = samples * static_cast<double>(k) / static_cast<double>(n);
  const double rank = expected + 4 * std::sqrt(expected) + 2;
  if (rank >= samples) return 0;

  std::vector<uint32_t> magnitudes;
  magnitudes.reserve(lines * kLine);
  for (size_t line = 0; line < lines; ++line) {
    // Golden-ratio steps: evenly spread, in step with no period of the values.
    const uint64_t position = (line * 0x9e3779b97f4a7c15ull) >> 32;
    const size_t begin = ((n / kLine) * position >> 32) * kLine;
    for (size_t i = begin; i < begin + kLine; ++i) {
      magnitudes.push_back(std::bit_cast<uint32_t>(accumulation.Peek(i)) & kMagnitudeMask);
    }
  }
  const auto nth = magnitudes.begin() + static_cast<ptrdiff_t>(rank);
  std::nth_element(magnitudes.begin(), nth, magnitudes.end(), std::greater<>());
  return *nth;
}

class TopKSelector : public Selector {
 public:
  explicit TopKSelector(int threads) : pool_(threads) {}

  std::string_view name() const override { return "topk"; }

  void Select(std::string_view parameter, Accumulation& accumulation, size_t k, uint32_t base,
              Selection* out) override {
    ++calls_;
    k = std::min(k, accumulation.size());
    if (k == 0) {
      accumulation.Values();
      return;
    }
    ThresholdForecast* forecast = nullptr;
    if (!parameter.empty()) {
      auto it = forecasts_.find(parameter);
      if (it == forecasts_.end()) it = forecasts_.emplace(parameter, ThresholdForecast{}).first;
      forecast = &it->second;
    }
    const bool warm = forecast != nullptr && forecast->known;
    candidates_.Begin(
        k, warm ? std::bit_cast<uint32_t>(forecast->Next()) : ThresholdOfSample(accumulation, k));
    candidates_.Gather(Pass::kFirst, accumulation, pool_);
    if (candidates_.size() < k) {
      ++second_sweeps_;
      candidates_.PutBack(accumulation);
      candidates_.Begin(k, 0);
      candidates_.Gather(Pass::kAgain, accumulation, pool_);
    }
    const uint32_t last = candidates_.Finish(base, accumulation, pool_, out);
    if (forecast != nullptr && accumulation.finite()) forecast->Update(std::bit_cast<float>(last));
  }
  using Selector::Select;

 private:
  WorkerPool pool_;
  Candidates candidates_;
  std::map<std::string, ThresholdForecast, std::less<>> forecasts_;
};

}  // namespace

std::unique_ptr<Selector> MakeTopKSelector(int threads) {
  return std::make_unique<TopKSelector>(threads);
}

}  // namespace cddp
