#include "cddp/compressor.h"

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
  if (parameter.count <= options_.whole_limit) return parameter.count;
  const auto budget = budgets_.find(parameter.name);
  if (budget != budgets_.end() && budget->second.entries > 0) return budget->second.entries;
  return SelectionCount(parameter.count, options_.ratio);
}

size_t Compressor::EntryCount(const Bucket& bucket) const {
  size_t count = 0;
  for (const BucketParameter& parameter : bucket.parameters) count += EntryCount(parameter);
  return count;
}

size_t Compressor::MaxFrameBytes(const Bucket& bucket) const {
  return cddp::MaxFrameBytes(options_.format, static_cast<uint32_t>(bucket.values.size()),
                             EntryCount(bucket), bucket.parameters.size());
}

Status Compressor::SetRatio(double ratio) {
  CDDP_RETURN_IF_ERROR(ValidateRatio(ratio));
  if (ratio != options_.ratio) budgets_.clear();
  options_.ratio = ratio;
  return Status::Ok();
}

bool Compressor::PlanDue(uint64_t step) const {
  return options_.adaptive_every > 0 && step != last_step_ && step % options_.adaptive_every == 0 &&
         !budgets_.empty();
}

std::vector<double> Compressor::Energies() const {
  std::vector<double> energies;
  for (const auto& [parameter, budget] : budgets_) energies.push_back(budget.energy);
  return energies;
}

void Compressor::Plan(std::span<const double> energies) {
  std::vector<ParameterEnergy> parameters;
  for (const auto& [parameter, budget] : budgets_) {
    parameters.push_back({budget.elements, energies[parameters.size()]});
    if (!std::isfinite(parameters.back().energy)) return;
  }
  const std::vector<size_t> plan = PlanBudgets(parameters, options_.ratio);
  size_t p = 0;
  for (auto& [parameter, budget] : budgets_) budget.entries = plan[p++];
}

void Compressor::MeasureEnergy(const BucketParameter& parameter, std::span<const float> gradient) {
  Budget& budget = budgets_[parameter.name];
  budget.elements = gradient.size();
  budget.energy = SumOfSquares(gradient);
}

void Compressor::ResetStatistics() {
  statistics_ = {};
  selections_before_ = selector_->calls();
  second_sweeps_before_ = selector_->second_sweeps();
}

void Compressor::TakeWhole(const BucketParameter& parameter, Accumulation& accumulation) {
  const size_t begin = selection_.size();
  selection_.values.resize(begin + parameter.count);
  accumulation.TakeAll(selection_.values.data() + begin);
  selection_.indices.resize(begin + parameter.count);
  std::iota(selection_.indices.begin() + static_cast<ptrdiff_t>(begin), selection_.indices.end(),
            parameter.offset);
}

Status Compressor::Compress(const Bucket& bucket, uint32_t rank, std::vector<std::byte>* frame) {
  last_step_ = bucket.step;
  const auto start = std::chrono::steady_clock::now();
  selection_.Clear();
  ends_.clear();
  bool finite = true;
  for (const BucketParameter& parameter : bucket.parameters) {
    const auto gradient = bucket.values.subspan(parameter.offset, parameter.count);
    const size_t k = EntryCount(parameter);
    Accumulation* accumulation = nullptr;
    CDDP_RETURN_IF_ERROR(memory_->Accumulate(parameter.name, gradient, &accumulation));
    if (options_.adaptive_every > 0 && parameter.count > options_.whole_limit &&
        (bucket.step + 1) % options_.adaptive_every == 0) {
      MeasureEnergy(parameter, gradient);
    }
    if (k == parameter.count) {
      TakeWhole(parameter, *accumulation);
    } else {
      selector_->Select(parameter.name, *accumulation, k, parameter.offset, &selection_);
    }
    finite &= accumulation->finite();
    ends_.push_back(selection_.size());
  }
  if (!finite) {
    selection_.Clear();
    ends_.clear();
  }

  const FrameId id{.step = bucket.step,
                   .bucket = bucket.index,
                   .rank = rank,
                   .elements = static_cast<uint32_t>(bucket.values.size())};
  taken_ = selection_.values;
  CDDP_RETURN_IF_ERROR(EncodeFrame(options_.format, id, ends_, !finite, &selection_, frame));

  if (finite) {
    // Encoding left in selection_ what receivers decode: only that leaves the memory.
    size_t begin = 0;
    for (size_t p = 0; p < bucket.parameters.size(); ++p) {
      const BucketParameter& parameter = bucket.parameters[p];
      const size_t count = ends_[p] - begin;
      memory_->Settle(parameter.name, parameter.offset,
                      std::span<const uint32_t>(selection_.indices).subspan(begin, count),
                      std::span<const float>(taken_).subspan(begin, count),
                      std::span<const float>(selection_.values).subspan(begin, count));
      begin = ends_[p];
    }
  }

  ++statistics_.calls;
  statistics_.elements += bucket.values.size();
  statistics_.entries += selection_.size();
  statistics_.selections = selector_->calls() - selections_before_;
  statistics_.second_sweeps = selector_->second_sweeps() - second_sweeps_before_;
  statistics_.bytes_in += bucket.values.size_bytes();
  statistics_.bytes_out += frame->size();
  statistics_.time += std::chrono::steady_clock::now() - start;
  return Status::Ok();
}

void Compressor::EndStep(bool commit) {
  if (commit) {
    memory_->Commit();
  } else {
    memory_->Void();
  }
}

}  // namespace cddp
