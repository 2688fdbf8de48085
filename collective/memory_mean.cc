#include "collective/memory_mean.h"

#include <fmt/format.h>

#include <utility>

#include "collective/shards.h"

namespace cddp {
namespace {

void AddTo(std::vector<double>* sum, const std::vector<float>& values) {
  sum->resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) (*sum)[i] += values[i];
}

}  // namespace

MemoryMean::MemoryMean(int ranks, std::string_view memory,
                       std::map<std::string, uint32_t> parameters)
    : ranks_(ranks), memory_(memory), parameters_(std::move(parameters)) {}

Status MemoryMean::Add(const MemoryState& own, const MemoryState& owner) {
  for (const auto& [key, values] : own) {
    const std::optional<MemoryKey> of = ParseMemoryKey(memory_, key);
    const auto it = of ? parameters_.find(of->parameter) : parameters_.end();
    if (it == parameters_.end() || it->second != values.size()) {
      return Status::InvalidArgument(fmt::format(
          "rank {}'s saved memory has {} with {} elements, the model has {}", added_, key,
          values.size(),
          it == parameters_.end() ? "no such parameter" : fmt::format("{}", it->second)));
    }
    AddTo(&sums_[key], values);
  }
  for (const auto& [parameter, kept] : owner) CDDP_RETURN_IF_ERROR(AddOwner(parameter, kept));
  ++added_;
  return Status::Ok();
}

Status MemoryMean::AddOwner(const std::string& parameter, const std::vector<float>& kept) {
  const auto it = parameters_.find(parameter);
  const uint32_t elements = it == parameters_.end() ? 0 : it->second;
  const std::vector<BucketParameter> alone{{parameter, 0, elements}};
  const Shards shards({.parameters = alone}, ranks_);
  if (shards.elements(added_) != kept.size()) {
    return Status::InvalidArgument(
        fmt::format("rank {} has saved {} elements of {} as their owner, but owns {} of {}", added_,
                    kept.size(), parameter, shards.elements(added_), elements));
  }
  const std::span<const std::string_view> parts = MemoryParts(memory_);
  // An owner keeps residuals, whatever the others keep.
  AddTo(&sums_[parts.empty() ? parameter : parameter + std::string(parts.front())],
        shards.Spread(added_, 0, kept));
  return Status::Ok();
}

MemoryState MemoryMean::Mean() const {
  MemoryState mean;
  for (const auto& [key, sum] : sums_) {
    std::vector<float>& values = mean[key];
    for (const double value : sum) values.push_back(static_cast<float>(value / ranks_));
  }
  return mean;
}

}  // namespace cddp
