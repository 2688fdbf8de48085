#include "cddp/compressor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cddp/budget.h"
#include "core/sweep.h"

namespace cddp {

Status Compressor::Create(const CompressorOptions& options,
                          std::unique_ptr<Compressor>* compressor) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(options.ratio));
  std::unique_ptr<Compressor> created(new Compressor(options));
  CDDP_RETURN_IF_ERROR(MakeSelector(options.selector, &created->selector_));
  CDDP_RETURN_IF_ERROR(MakeMemory(options.memory, &created->memory_));
  *compressor = std::move(created);
  return Status::Ok();
}

size_t Compressor::EntryCount(const BucketParameter& parameter) const {
  if (parameter.count > options_.whole_limit) {
    const auto budget = budgets_.find(parameter.name);
    if (budget != budgets_.end() && budget->second.entries > 0) {
      return std::min<size_t>(budget->second.entries, parameter.count);
    }
  }
  return EntriesByRatio(options_, parameter.count);
}

size_t Compressor::EntryCount(const Bucket& bucket) const {
  size_t count = 0;
  for (const BucketParameter& parameter : bucket.parameters) count += EntryCount(parameter);
  return count;
}

Status Compressor::SetRatio(double ratio) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(ratio));
  if (ratio != options_.ratio) budgets_.clear();
  options_.ratio = ratio;
  return Status::Ok();
}

NormByParameter Compressor::ResidualNorms() const { return memory_->ResidualNorms(); }

bool Compressor::BudgetsDue(uint64_t step) const {
  return options_.adaptive_every > 0 && step != last_step_ && step % options_.adaptive_every == 0 &&
         !budgets_.empty();
}

std::vector<double> Compressor::Energies() const {
  std::vector<double> energies;
  for (const auto& [parameter, budget] : budgets_) energies.push_back(budget.energy);
  return energies;
}

void Compressor::ShareBudgets(std::span<const double> energies) {
  std::vector<ParameterEnergy> parameters;
  bool any = false;
  for (const auto& [parameter, budget] : budgets_) {
    parameters.push_back({budget.elements, energies[parameters.size()]});
    any |= parameters.back().energy > 0;
  }
  if (!any) return;
  const std::vector<size_t> shares = PlanBudgets(parameters, options_.ratio);
  size_t p = 0;
  for (auto& [parameter, budget] : budgets_) budget.entries = shares[p++];
}

// In the step before budgets are shared out, of a parameter that has one.
void Compressor::MeasureEnergy(uint64_t step, const BucketParameter& parameter,
                               std::span<const float> gradient) {
  if (options_.adaptive_every == 0 || parameter.count <= options_.whole_limit ||
      (step + 1) % options_.adaptive_every != 0) {
    return;
  }
  ParameterBudget& budget = budgets_[parameter.name];
  budget.elements = gradient.size();
  budget.energy = SumOfSquares(gradient);
}

void Compressor::TakeWhole(const BucketParameter& parameter, Accumulation& accumulation) {
  Selection& selection = taken_.selection;
  const size_t begin = selection.size();
  selection.values.resize(begin + parameter.count);
  accumulation.TakeAll(selection.values.data() + begin);
  selection.indices.resize(begin + parameter.count);
  std::iota(selection.indices.begin() + static_cast<ptrdiff_t>(begin), selection.indices.end(),
            parameter.offset);
}

Status Compressor::Take(const Bucket& bucket) {
  counts_.clear();
  for (const BucketParameter& parameter : bucket.parameters) {
    counts_.push_back(EntryCount(parameter));
  }
  return Take(bucket, counts_);
}

Status Compressor::Take(const Bucket& bucket, std::span<const size_t> counts) {
  last_step_ = bucket.step;
  taken_.Clear();
  taken_.finite = true;
  for (size_t p = 0; p < bucket.parameters.size(); ++p) {
    const BucketParameter& parameter = bucket.parameters[p];
    const auto gradient = bucket.values.subspan(parameter.offset, parameter.count);
    Accumulation* accumulation = nullptr;
    CDDP_RETURN_IF_ERROR(memory_->Accumulate(parameter.name, gradient, &accumulation));
    MeasureEnergy(bucket.step, parameter, gradient);
    if (counts[p] == parameter.count) {
      TakeWhole(parameter, *accumulation);
    } else {
      selector_->Select(parameter.name, *accumulation, counts[p], parameter.offset,
                        &taken_.selection);
    }
    taken_.finite &= accumulation->finite();
    taken_.run_ends.push_back(taken_.selection.size());
  }
  if (!taken_.finite) taken_.Clear();
  Count(bucket, taken_.run_ends);
  statistics_.selections = selector_->calls();
  statistics_.second_sweeps = selector_->second_sweeps();
  return Status::Ok();
}

Status Compressor::AccumulateAll(const Bucket& bucket) {
  last_step_ = bucket.step;
  for (const BucketParameter& parameter : bucket.parameters) {
    const auto gradient = bucket.values.subspan(parameter.offset, parameter.count);
    MeasureEnergy(bucket.step, parameter, gradient);
    CDDP_RETURN_IF_ERROR(memory_->AccumulateAll(parameter.name, gradient));
  }
  return Status::Ok();
}

void Compressor::Settle(const Bucket& bucket, std::span<const float> values) {
  const std::span<const uint32_t> indices = taken_.selection.indices;
  const std::span<const float> decoded = taken_.selection.values;
  size_t begin = 0;
  for (size_t p = 0; p < taken_.run_ends.size(); ++p) {
    const size_t count = taken_.run_ends[p] - begin;
    memory_->Settle(bucket.parameters[p].name, bucket.parameters[p].offset,
                    indices.subspan(begin, count), values.subspan(begin, count),
                    decoded.subspan(begin, count));
    begin = taken_.run_ends[p];
  }
}

Status Compressor::Compress(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame) {
  CDDP_RETURN_IF_ERROR(Take(bucket));
  return EncodeTaken(bucket, rank, frame);
}

Status Compressor::EncodeTaken(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame) {
  const FrameId id = FrameIdOf(bucket, rank);
  values_ = taken_.selection.values;
  CDDP_RETURN_IF_ERROR(
      EncodeFrame(options_.format, id, taken_.run_ends, !taken_.finite, &taken_.selection, frame));
  CountFrame(frame->size());
  Settle(bucket, values_);
  return Status::Ok();
}

void Compressor::EndStep(bool commit) {
  if (commit) {
    memory_->Commit();
  } else {
    memory_->Void();
    // Of this step's gradients, which may be anything.
    for (auto& [parameter, budget] : budgets_) budget.energy = 0;
  }
}

Status Compressor::Save(CompressorState* state) const {
  *state = {.ratio = options_.ratio,
            .budgets = budgets_,
            .selector = selector_->Save(),
            .memory_name = std::string(memory_->name()),
            .memory = memory_->Save()};
  return Status::Ok();
}

Status Compressor::Load(const CompressorState& state) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(state.ratio));
  const bool tells = !state.memory.empty() && !state.memory_name.empty();
  if (tells && state.memory_name != memory_->name()) {
    return Status::InvalidArgument(fmt::format("the saved state is of memory \"{}\", this is {}",
                                               state.memory_name, memory_->name()));
  }
  for (const auto& [parameter, budget] : state.budgets) {
    if (budget.elements > 0 && budget.entries <= budget.elements && std::isfinite(budget.energy) &&
        budget.energy >= 0) {
      continue;
    }
    return Status::InvalidArgument(
        fmt::format("the saved budget of parameter {} is {} of {} entries, with energy {}",
                    parameter, budget.entries, budget.elements, budget.energy));
  }
  CDDP_RETURN_IF_ERROR(memory_->Load(state.memory));
  options_.ratio = state.ratio;
  if (options_.adaptive_every > 0) budgets_ = state.budgets;
  selector_->Load(state.selector);
  return Status::Ok();
}

}  // namespace cddp
