#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "bench/select_case.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"
#include "core/aligned.h"
#include "core/oracle.h"

namespace cddp {
namespace {

constexpr int kSteps = 4;
constexpr size_t kLargestToSort = 2'000'000;
constexpr float kMomentum = 0.9f;
constexpr const char* kParameter = "gradient";

uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

// The rule of the oracle, without sorting: all above the k-th largest magnitude, and
// of those that equal it the first.
Selection SelectByRank(std::span<const float> values, size_t k) {
  std::vector<uint32_t> magnitudes(values.size());
  std::ranges::transform(values, magnitudes.begin(), Magnitude);
  const auto kth = magnitudes.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(magnitudes.begin(), kth, magnitudes.end(), std::greater<>());
  const uint32_t last = *kth;
  const auto above = [&](uint32_t magnitude) { return magnitude > last; };
  size_t ties = k - static_cast<size_t>(std::count_if(magnitudes.begin(), kth, above));
  Selection selection;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t magnitude = Magnitude(values[i]);
    if (magnitude < last || (magnitude == last && ties == 0)) continue;
    if (magnitude == last) --ties;
    selection.indices.push_back(static_cast<uint32_t>(i));
    selection.values.push_back(values[i]);
  }
  return selection;
}

Selection Expected(std::span<const float> values, size_t k) {
  return values.size() <= kLargestToSort ? SelectTopKOracle(values, k) : SelectByRank(values, k);
}

// What the memories of cddp/memory.h must do, element by element.
class MemoryModel {
 public:
  MemoryModel(std::string name, size_t elements) : name_(std::move(name)), accumulated_(elements) {
    if (name_ == "dgc") velocity_.resize(elements);
  }

  std::span<const float> Accumulate(std::span<const float> gradient) {
    for (size_t i = 0; i < gradient.size(); ++i) {
      float update = gradient[i];
      if (name_ == "dgc") update = velocity_[i] = kMomentum * velocity_[i] + gradient[i];
      accumulated_[i] = name_ == "none" ? update : accumulated_[i] + update;
    }
    return accumulated_;
  }

  void TakeOut(std::span<const uint32_t> indices) {
    for (uint32_t i : indices) accumulated_[i] = 0;
  }

  // What Memory::Save() must give.
  std::vector<std::pair<std::string, std::span<const float>>> Parts() const {
    if (name_ == "none") return {};
    if (name_ == "residual") return {{kParameter, accumulated_}};
    return {{fmt::format("{}/residual", kParameter), accumulated_},
            {fmt::format("{}/velocity", kParameter), velocity_}};
  }

 private:
  const std::string name_;
  std::vector<float> accumulated_;  // of this step; then the residual
  std::vector<float> velocity_;
};

[[noreturn]] void Mismatch(const SelectCase& c, const std::string& what) {
  throw StatusError(StatusCode::kInternal,
                    fmt::format("verification failed ({} elements, ratio {}, {} thread(s), {}, "
                                "memory {}): {}",
                                c.elements, c.ratio, c.threads, c.distribution, c.memory, what));
}

template <typename T>
bool SameBits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

void RequireSame(const SelectCase& c, int step, const Selection& got, const Selection& expected) {
  if (SameBits<uint32_t>(got.indices, expected.indices) &&
      SameBits<float>(got.values, expected.values)) {
    return;
  }
  const auto entry = [](const Selection& selection, size_t i) {
    return i < selection.size()
               ? fmt::format("index {} value {}", selection.indices[i], selection.values[i])
               : std::string("nothing");
  };
  size_t i = 0;
  while (i < std::min(got.size(), expected.size()) && got.indices[i] == expected.indices[i] &&
         Magnitude(got.values[i]) == Magnitude(expected.values[i])) {
    ++i;
  }
  Mismatch(c, fmt::format("step {}: {} entries expected, got {}; entry {}: {} expected, got {}",
                          step, expected.size(), got.size(), i, entry(expected, i), entry(got, i)));
}

}  // namespace

void CheckAgainstOracle(const SelectCase& c, const SelectSettings& settings) {
  const size_t k = SelectionCount(c.elements, c.ratio);
  AlignedFloats gradient(c.elements);
  const auto source = MakeGradientSource(c.distribution, settings.seed, settings.recording);
  MemoryModel model(c.memory, c.elements);
  std::unique_ptr<Memory> memory;
  ThrowIfError(MakeMemory({.name = c.memory, .momentum = kMomentum}, &memory));
  const auto selector = MakeTopKSelector(c.threads);
  for (int step = 0; step < kSteps; ++step) {
    source->Next(gradient);
    const Selection expected = Expected(model.Accumulate(gradient), k);
    model.TakeOut(expected.indices);

    Accumulation* accumulation = nullptr;
    Selection got;
    ThrowIfError(memory->Accumulate(kParameter, gradient, &accumulation));
    selector->Select(kParameter, *accumulation, k, 0, &got);
    memory->Settle(kParameter, 0, got.indices, got.values, got.values);
    memory->Commit();
    RequireSame(c, step, got, expected);
  }
  const MemoryState state = memory->Save();
  for (const auto& [name, values] : model.Parts()) {
    const auto part = state.find(name);
    if (part == state.end() || !SameBits<float>(part->second, values)) {
      Mismatch(c, fmt::format("the memory's \"{}\" after {} steps is another", name, kSteps));
    }
  }
}

}  // namespace cddp
