#include "cddp/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/sweep.h"

namespace cddp {

Status ValidateRatio(double ratio) {
  if (ratio > 0.0 && ratio <= 1.0) return Status::Ok();
  return Status::InvalidArgument(fmt::format(
      "the ratio must be above 0 and at most 1 (0.01 sends the largest 1%), got {}", ratio));
}

size_t SelectionCount(size_t elements, double ratio) {
  const double exact = ratio * static_cast<double>(elements);
  const double nearest = std::nearbyint(exact);
  const bool integral = std::abs(exact - nearest) <= 1e-9 * std::max(1.0, exact);
  const auto k = static_cast<size_t>(integral ? nearest : std::ceil(exact));
  return std::min(std::max<size_t>(k, 1), elements);
}

namespace {

uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeMask; }

// Where the k-th largest magnitude lies: in [edge, edge + width).
struct Bracket {
  uint32_t edge = 0;
  uint32_t width = 0;
  size_t above = 0;   // elements with magnitude >= edge + width; fewer than k
  size_t within = 0;  // elements in the bracket; above + within >= k
};

// Narrows the bracket by a histogram of the next digit of the magnitudes.
Bracket Narrow(std::span<const float> values, size_t k, const Bracket& bracket, int digit_bits) {
  constexpr size_t kMaxBins = size_t{1} << 11;
  std::array<uint32_t, kMaxBins> histogram{};
  const size_t bins = size_t{1} << digit_bits;
  const uint32_t width = bracket.width >> digit_bits;
  const int shift = std::countr_zero(width);
  for (float value : values) {
    const uint32_t offset = Magnitude(value) - bracket.edge;
    if (offset < bracket.width) ++histogram[offset >> shift];
  }
  Bracket narrow{.edge = bracket.edge, .width = width, .above = bracket.above};
  for (size_t bin = bins; bin-- > 0;) {
    if (narrow.above + histogram[bin] >= k) {
      narrow.edge = bracket.edge + static_cast<uint32_t>(bin) * width;
      narrow.within = histogram[bin];
      break;
    }
    narrow.above += histogram[bin];
  }
  return narrow;
}

class TopKSelector final : public Selector {
 public:
  std::string_view name() const override { return "topk"; }

  void Select(std::span<const float> values, size_t k, uint32_t base, Selection* out) override {
    k = std::min(k, values.size());
    if (k == 0) return;
    if (k == values.size()) {
      for (size_t i = 0; i < k; ++i) out->indices.push_back(base + static_cast<uint32_t>(i));
      out->values.insert(out->values.end(), values.begin(), values.end());
      return;
    }

    // 31 bits of magnitude, in digits of 11, 10 and 10 bits: after the third the
    // bracket is one magnitude wide and all within it are ties.
    Bracket bracket{.edge = 0, .width = uint32_t{1} << 31};
    for (int digit_bits : {11, 10, 10}) {
      bracket = Narrow(values, k, bracket, digit_bits);
      if (bracket.above + bracket.within <= 2 * k + kSlack) break;
    }
    if (bracket.width == 1 && bracket.above + bracket.within > 2 * k + kSlack) {
      SelectAmongTies(values, k, bracket, base, out);
    } else {
      SelectAmongCandidates(values, k, bracket, base, out);
    }
  }

 private:
  static constexpr size_t kSlack = 4096;  // candidates that are cheaper to keep than to narrow

  void SelectAmongCandidates(std::span<const float> values, size_t k, const Bracket& bracket,
                             uint32_t base, Selection* out) {
    const size_t count = bracket.above + bracket.within;
    indices_.resize(count + kCompactPadding);
    values_.resize(count + kCompactPadding);
    CompactAtLeast(values, bracket.edge, base, indices_.data(), values_.data());

    // One key orders by magnitude, then by lower index.
    const auto key = [this](size_t i) {
      return (uint64_t{Magnitude(values_[i])} << 32) | (~indices_[i]);
    };
    uint64_t last = 0;
    if (count > k) {
      keys_.resize(count);
      for (size_t i = 0; i < count; ++i) keys_[i] = key(i);
      std::nth_element(keys_.begin(), keys_.begin() + static_cast<ptrdiff_t>(k - 1), keys_.end(),
                       std::greater<>());
      last = keys_[k - 1];
    }
    for (size_t i = 0; i < count; ++i) {
      if (key(i) < last) continue;
      out->indices.push_back(indices_[i]);
      out->values.push_back(values_[i]);
    }
  }

  // Many elements share the k-th magnitude: all above it are sent, and the first of those.
  static void SelectAmongTies(std::span<const float> values, size_t k, const Bracket& bracket,
                              uint32_t base, Selection* out) {
    size_t ties = k - bracket.above;
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t magnitude = Magnitude(values[i]);
      if (magnitude < bracket.edge) continue;
      if (magnitude == bracket.edge) {
        if (ties == 0) continue;
        --ties;
      }
      out->indices.push_back(base + static_cast<uint32_t>(i));
      out->values.push_back(values[i]);
    }
  }

  std::vector<uint32_t> indices_;
  std::vector<float> values_;
  std::vector<uint64_t> keys_;
};

}  // namespace

std::unique_ptr<Selector> MakeTopKSelector() { return std::make_unique<TopKSelector>(); }

Status MakeSelector(std::string_view name, std::unique_ptr<Selector>* selector) {
  if (name == "topk") {
    *selector = MakeTopKSelector();
    return Status::Ok();
  }
  return Status::InvalidArgument(fmt::format("unknown selector \"{}\"; known: topk", name));
}

}  // namespace cddp
