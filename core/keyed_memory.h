// What memories that keep state have in common: one Slot per parameter, by name.
//
// A Slot is an Accumulation with
//   explicit Slot(size_t elements)            all zero
//   void Start(gradient, options)             the step begins
//   void Settle(base, indices, taken, decoded)
//   void SweepAll(values)                     values = accumulated; of the new state is left
//                                             what TakeAll leaves
//   void Swap()                               the new state becomes the old one
//   static constexpr bool kEmptyWhenWhole     nothing is left of what goes whole
//   AlignedFloats& Part(size_t i)             the old state of the memory's part (memory.h)
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "cddp/memory.h"
#include "core/aligned.h"
#include "core/sweep.h"

namespace cddp {

// state[indices[i] - base] = value(i): a sweep has written the state past the cache.
template <typename Value>
void Put(std::span<const uint32_t> indices, uint32_t base, AlignedFloats& state, Value value) {
  constexpr size_t kAhead = 16;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (i + kAhead < indices.size()) __builtin_prefetch(&state[indices[i + kAhead] - base], 1);
    state[indices[i] - base] = value(i);
  }
}

template <typename Slot>
class KeyedMemory final : public Memory {
 public:
  explicit KeyedMemory(const MemoryOptions& options)
      : options_(options), parts_(MemoryParts(options.name)) {}

  std::string_view name() const override { return options_.name; }

  Status Accumulate(std::string_view parameter, std::span<const float> gradient,
                    Accumulation** accumulation) override {
    auto it = parameters_.find(parameter);
    if (it == parameters_.end()) {
      it = parameters_.try_emplace(std::string(parameter), gradient.size()).first;
    }
    CDDP_RETURN_IF_ERROR(Start(parameter, gradient, &it->second));
    *accumulation = &it->second.slot;
    return Status::Ok();
  }

  Status AccumulateAll(std::string_view parameter, std::span<float> values) override {
    auto it = parameters_.find(parameter);
    if (it == parameters_.end()) {
      if (Slot::kEmptyWhenWhole) return Status::Ok();
      it = parameters_.try_emplace(std::string(parameter), values.size()).first;
    }
    CDDP_RETURN_IF_ERROR(Start(parameter, values, &it->second));
    it->second.slot.SweepAll(values.data());
    it->second.drained = Slot::kEmptyWhenWhole;
    return Status::Ok();
  }

  void Settle(std::string_view parameter, uint32_t base, std::span<const uint32_t> indices,
              std::span<const float> taken, std::span<const float> decoded) override {
    // Most often the codec was exact.
    if (taken.empty() || std::memcmp(taken.data(), decoded.data(), taken.size_bytes()) == 0) return;
    parameters_.find(parameter)->second.slot.Settle(base, indices, taken, decoded);
  }

  void Commit() override {
    // What keeps nothing takes no room.
    std::erase_if(parameters_, [](const auto& item) { return item.second.drained; });
    for (auto& [parameter, entry] : parameters_) {
      if (entry.pending) entry.slot.Swap();
      entry.pending = false;
    }
  }

  void Void() override {
    for (auto& [parameter, entry] : parameters_) entry.pending = entry.drained = false;
  }

  Status Add(std::string_view parameter, std::span<const float> residual) override {
    auto it = parameters_.find(parameter);
    if (it == parameters_.end()) {
      it = parameters_.try_emplace(std::string(parameter), residual.size()).first;
    }
    CDDP_RETURN_IF_ERROR(RequireSize(parameter, residual.size(), it->second));
    AlignedFloats& kept = it->second.slot.Part(0);
    for (size_t i = 0; i < residual.size(); ++i) kept[i] += residual[i];
    return Status::Ok();
  }

  std::vector<float> TakeResidual(std::string_view parameter) override {
    const auto it = parameters_.find(parameter);
    if (it == parameters_.end()) return {};
    AlignedFloats& kept = it->second.slot.Part(0);
    std::vector<float> taken(kept.begin(), kept.end());
    if (Slot::kEmptyWhenWhole) {
      parameters_.erase(it);
    } else {
      std::ranges::fill(kept, 0.0f);
    }
    return taken;
  }

  MemoryState Save() const override {
    MemoryState state;
    for (const auto& [parameter, entry] : parameters_) {
      for (size_t i = 0; i < parts_.size(); ++i) {
        const AlignedFloats& part = entry.slot.Part(i);
        state.emplace(parameter + std::string(parts_[i]),
                      std::vector<float>(part.begin(), part.end()));
      }
    }
    return state;
  }

  Status Load(const MemoryState& state) override {
    Parameters loaded;
    std::string differences;
    for (const auto& [key, values] : state) {
      const std::optional<MemoryKey> of = ParseMemoryKey(name(), key);
      if (!of) continue;
      Entry& entry = loaded.try_emplace(of->parameter, values.size()).first->second;
      AlignedFloats& part = entry.slot.Part(of->part);
      if (part.size() == values.size()) part.assign(values.begin(), values.end());
    }
    const MemoryState expected = Shapes(parameters_.empty() ? loaded : parameters_);
    for (const auto& [key, values] : expected) {
      const auto it = state.find(key);
      if (it == state.end()) {
        differences += fmt::format("\n  {}: missing in the saved state", key);
      } else if (it->second.size() != values.size()) {
        differences += fmt::format("\n  {}: {} elements expected, {} saved", key, values.size(),
                                   it->second.size());
      }
    }
    for (const auto& [key, values] : state) {
      if (expected.contains(key)) continue;
      differences += fmt::format("\n  {}: saved, but not a part of this model's memory", key);
    }
    for (const auto& [key, values] : state) {
      if (!AllFinite(values)) differences += fmt::format("\n  {}: holds NaN or Inf", key);
    }
    if (!differences.empty()) {
      return Status::InvalidArgument("the saved memory does not fit this model:" + differences);
    }
    parameters_.swap(loaded);
    return Status::Ok();
  }

  NormByParameter ResidualNorms() const override {
    NormByParameter norms;
    for (const auto& [parameter, entry] : parameters_) {
      norms[parameter] = std::sqrt(SumOfSquares(entry.slot.Part(0)));
    }
    return norms;
  }

 private:
  struct Entry {
    explicit Entry(size_t elements) : slot(elements) {}
    Slot slot;
    bool pending = false;  // accumulated in this step
    bool drained = false;  // and all of it sent
  };
  using Parameters = std::map<std::string, Entry, std::less<>>;

  Status Start(std::string_view parameter, std::span<const float> gradient, Entry* entry) {
    CDDP_RETURN_IF_ERROR(RequireSize(parameter, gradient.size(), *entry));
    entry->slot.Start(gradient, options_);
    entry->pending = true;
    return Status::Ok();
  }

  static Status RequireSize(std::string_view parameter, size_t elements, const Entry& entry) {
    if (entry.slot.Part(0).size() == elements) return Status::Ok();
    return Status::InvalidArgument(
        fmt::format("parameter {} has {} elements in this step but {} in its memory", parameter,
                    elements, entry.slot.Part(0).size()));
  }

  MemoryState Shapes(const Parameters& parameters) const {
    MemoryState shapes;
    for (const auto& [parameter, entry] : parameters) {
      for (const std::string_view part : parts_) {
        shapes[parameter + std::string(part)].resize(entry.slot.Part(0).size());
      }
    }
    return shapes;
  }

  const MemoryOptions options_;
  const std::span<const std::string_view> parts_;
  Parameters parameters_;
};

}  // namespace cddp
