#include "cddp/selection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "cddp/memory.h"

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

void Selector::Select(std::span<const float> values, size_t k, uint32_t base, Selection* out) {
  const auto memory = MakeNoMemory();
  Accumulation* accumulation = nullptr;
  if (Status status = memory->Accumulate("", values, &accumulation); !status.ok()) return;
  Select("", *accumulation, k, base, out);
}

void Selector::Take(Accumulation& accumulation, std::span<const uint32_t> indices, uint32_t base,
                    Selection* out) {
  const size_t before = out->size();
  out->values.resize(before + indices.size());
  accumulation.TakeOut(indices, out->values.data() + before);
  for (uint32_t index : indices) out->indices.push_back(base + index);
}

std::vector<std::string> SelectorNames() { return {"topk", "randomk", "threshold", "block"}; }

Status MakeSelector(const SelectorOptions& options, std::unique_ptr<Selector>* selector) {
  if (options.threads < 1) {
    return Status::InvalidArgument(
        fmt::format("a selector needs at least one thread, got {}", options.threads));
  }
  if (options.name == "topk") {
    try {
      *selector = MakeTopKSelector(options.threads);
    } catch (const std::system_error& error) {
      return Status::Unavailable(fmt::format("cannot start {} threads to select with: {}",
                                             options.threads, error.what()));
    }
  } else if (options.name == "randomk") {
    *selector = MakeRandomKSelector(options.seed);
  } else if (options.name == "threshold") {
    if (const auto threshold = static_cast<float>(options.threshold);
        !(threshold > 0) || !std::isfinite(threshold)) {
      return Status::InvalidArgument(fmt::format(
          "the threshold of a selection must be above 0 and finite, got {}", options.threshold));
    }
    *selector = MakeThresholdSelector(options.threshold);
  } else if (options.name == "block") {
    if (options.block < 1) return Status::InvalidArgument("a block has at least one element");
    *selector = MakeBlockSelector(options.block);
  } else {
    return Status::InvalidArgument(fmt::format("unknown selector \"{}\"; known: {}", options.name,
                                               fmt::join(SelectorNames(), ", ")));
  }
  return Status::Ok();
}

}  // namespace cddp
