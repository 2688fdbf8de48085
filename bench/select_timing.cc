// Times of a step are taken one after another for all methods, caches cold before
// each, so that what else the machine does meets them all; slow peers join in only
// a few of the steps.
#include <algorithm>
#include <chrono>

#include "bench/cache_eviction.h"
#include "bench/select_case.h"
#include "bench/slow_peers.h"
#include "bench/triad.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"
#include "core/aligned.h"
#include "core/median.h"

namespace cddp {
namespace {

constexpr const char* kTimedParameter = "gradient";
constexpr int kWarmSteps = 20;
constexpr float kFactor = 0.9f;  // of the triad; its sum stays bounded
constexpr size_t kLarge = 50'000'000;

// A gradient, its memory, and the selector that keeps thresholds.
class Step {
 public:
  explicit Step(const SelectCase& c)
      : k_(SelectionCount(c.elements, c.ratio)), selector_(MakeTopKSelector(c.threads)) {
    ThrowIfError(MakeMemory({.name = c.memory}, &memory_));
    selection_.indices.reserve(k_);
    selection_.values.reserve(k_);
  }

  void Select(std::span<const float> gradient) {
    Take(*selector_, gradient);
    memory_->Commit();
  }

  // Leaves no trace in the memory.
  void SelectAndVoid(Selector& selector, std::span<const float> gradient) {
    Take(selector, gradient);
    memory_->Void();
  }

  const Selector& selector() const { return *selector_; }

 private:
  void Take(Selector& selector, std::span<const float> gradient) {
    selection_.Clear();
    Accumulation* accumulation = nullptr;
    ThrowIfError(memory_->Accumulate(kTimedParameter, gradient, &accumulation));
    selector.Select(kTimedParameter, *accumulation, k_, 0, &selection_);
    memory_->Settle(kTimedParameter, 0, selection_.indices, selection_.values, selection_.values);
  }

  const size_t k_;
  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Selector> selector_;
  Selection selection_;
};

class Timer {
 public:
  explicit Timer(int threads) : pool_(threads) {}

  template <typename Work>
  void Time(std::vector<double>* ms, const Work& work) {
    eviction_.Run(pool_);
    const auto start = std::chrono::steady_clock::now();
    work();
    const auto end = std::chrono::steady_clock::now();
    ms->push_back(std::chrono::duration<double, std::milli>(end - start).count());
  }

  WorkerPool& pool() { return pool_; }

 private:
  WorkerPool pool_;
  CacheEviction eviction_;
};

// True in `wanted` of `steps` steps, spread evenly.
bool TakesPart(int step, int steps, int wanted) {
  wanted = std::min(wanted, steps);
  return (step + 1) * wanted / steps > step * wanted / steps;
}

struct PeerTimes {
  std::vector<double> topk, pipeline, nth_element;
};

}  // namespace

double BytesNeeded(const SelectCase& c) {
  // Gradient, triad, and libtorch's topk with pairs of value and 64-bit index.
  constexpr double kOthers = 4 + 8 + 48;
  const double memory = c.memory == "dgc" ? 16 : c.memory == "residual" ? 8 : 0;
  const double entries = 64 * c.ratio;
  return static_cast<double>(c.elements) * (kOthers + memory + entries) + (1 << 30);
}

SelectTimes TimeSelection(const SelectCase& c, const SelectSettings& settings) {
  const size_t k = SelectionCount(c.elements, c.ratio);
  SetTorchThreads(c.threads);
  Timer timer(c.threads);
  const auto source = MakeGradientSource(c.distribution, settings.seed, settings.recording);
  AlignedFloats gradient(c.elements);
  AlignedFloats e(c.elements);
  AlignedFloats beside(c.elements);
  Step step(c);
  uint64_t first_second_sweeps = 0;  // of the very first step, which has no threshold yet
  for (int i = 0; i < kWarmSteps; ++i) {
    source->Next(gradient);
    step.Select(gradient);
    if (i == 0) first_second_sweeps = step.selector().second_sweeps();
  }

  std::vector<double> select, cold, plain, streaming, plain_beside, streaming_beside;
  PeerTimes peers;
  const TorchTopK topk(k);
  DecompressPipeline pipeline(settings.peers ? c.elements : 1, k);
  NthElement nth_element(settings.peers ? c.elements : 1, k);
  uint64_t cold_second_sweeps = 0;
  for (int i = 0; i < settings.steps; ++i) {
    source->Next(gradient);
    timer.Time(&select, [&] { step.Select(gradient); });
    const auto triad = [&](std::vector<double>* ms, AlignedFloats& to, Stores stores) {
      timer.Time(ms, [&] { Triad(gradient, kFactor, e, to, stores, timer.pool()); });
    };
    triad(&plain, e, Stores::kPlain);
    triad(&streaming, e, Stores::kStreaming);
    triad(&plain_beside, beside, Stores::kPlain);
    triad(&streaming_beside, beside, Stores::kStreaming);

    const auto fresh = MakeTopKSelector(c.threads);
    timer.Time(&cold, [&] { step.SelectAndVoid(*fresh, gradient); });
    cold_second_sweeps += fresh->second_sweeps();

    if (settings.peers && TakesPart(i, settings.steps, c.elements > kLarge ? 1 : 3)) {
      timer.Time(&peers.topk, [&] { topk.Run(gradient); });
      timer.Time(&peers.pipeline, [&] { pipeline.Run(gradient); });
      timer.Time(&peers.nth_element, [&] { nth_element.Run(gradient); });
    }
  }

  SelectTimes times;
  times.select = MedianOf(select);
  times.cold = MedianOf(cold);
  times.triad_plain = MedianOf(plain);
  times.triad_streaming = MedianOf(streaming);
  times.triad_beside = std::min(MedianOf(plain_beside), MedianOf(streaming_beside));
  if (settings.peers) {
    times.topk = MedianOf(peers.topk);
    times.pipeline = MedianOf(peers.pipeline);
    times.nth_element = MedianOf(peers.nth_element);
  }
  times.second_sweeps = static_cast<double>(step.selector().second_sweeps() - first_second_sweeps) /
                        static_cast<double>(step.selector().calls() - 1);
  times.cold_second_sweeps =
      static_cast<double>(cold_second_sweeps) / static_cast<double>(settings.steps);
  return times;
}

}  // namespace cddp
