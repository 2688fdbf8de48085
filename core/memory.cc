#include "cddp/memory.h"

#include <fmt/format.h>

#include <functional>

#include "core/sweep.h"

namespace cddp {
namespace {

class NoMemory final : public Memory {
 public:
  std::string_view name() const override { return "none"; }

  Status Accumulate(std::string_view, std::span<const float> gradient,
                    Accumulated* accumulated) override {
    *accumulated = {.values = gradient, .finite = AllFinite(gradient)};
    return Status::Ok();
  }
  void Subtract(std::string_view, uint32_t, std::span<const uint32_t>,
                std::span<const float>) override {}
  void Commit() override {}
  void Void() override {}
  MemoryState Save() const override { return {}; }
  Status Load(const MemoryState& state) override {
    if (state.empty()) return Status::Ok();
    return Status::InvalidArgument(
        fmt::format("memory \"none\" keeps no state, but the saved one has {} parameters "
                    "(first: {}); was it saved with another memory?",
                    state.size(), state.begin()->first));
  }
  void Reset() override {}
  size_t BytesPerElement() const override { return 0; }
};

class ResidualMemory final : public Memory {
 public:
  std::string_view name() const override { return "residual"; }

  Status Accumulate(std::string_view parameter, std::span<const float> gradient,
                    Accumulated* accumulated) override {
    auto it = slots_.find(parameter);
    if (it == slots_.end()) {
      it = slots_.emplace(std::string(parameter), Slot(gradient.size())).first;
    }
    Slot& slot = it->second;
    if (slot.residual.size() != gradient.size()) {
      return Status::InvalidArgument(
          fmt::format("parameter {} has {} elements in this step but {} in its memory", parameter,
                      gradient.size(), slot.residual.size()));
    }
    const bool finite = AddFinite(gradient, slot.residual, slot.next);
    slot.pending = true;
    *accumulated = {.values = slot.next, .finite = finite};
    return Status::Ok();
  }

  void Subtract(std::string_view parameter, uint32_t base, std::span<const uint32_t> indices,
                std::span<const float> decoded) override {
    Slot& slot = slots_.find(parameter)->second;
    for (size_t i = 0; i < indices.size(); ++i) slot.next[indices[i] - base] -= decoded[i];
  }

  void Commit() override {
    for (auto& [parameter, slot] : slots_) {
      if (slot.pending) slot.residual.swap(slot.next);
      slot.pending = false;
    }
  }

  void Void() override {
    for (auto& [parameter, slot] : slots_) slot.pending = false;
  }

  MemoryState Save() const override {
    MemoryState state;
    for (const auto& [parameter, slot] : slots_) state.emplace(parameter, slot.residual);
    return state;
  }

  Status Load(const MemoryState& state) override {
    if (!slots_.empty()) CDDP_RETURN_IF_ERROR(CheckSameParameters(state));
    slots_.clear();
    for (const auto& [parameter, residual] : state) {
      Slot slot(residual.size());
      slot.residual = residual;
      slots_.emplace(parameter, std::move(slot));
    }
    return Status::Ok();
  }

  void Reset() override { slots_.clear(); }
  size_t BytesPerElement() const override { return 2 * sizeof(float); }

 private:
  struct Slot {
    explicit Slot(size_t elements) : residual(elements), next(elements) {}
    std::vector<float> residual;
    std::vector<float> next;  // becomes the residual on Commit
    bool pending = false;     // accumulated in this step
  };

  Status CheckSameParameters(const MemoryState& state) const {
    std::string differences;
    for (const auto& [parameter, slot] : slots_) {
      const auto it = state.find(parameter);
      if (it == state.end()) {
        differences += fmt::format("\n  {}: missing in the saved state", parameter);
      } else if (it->second.size() != slot.residual.size()) {
        differences += fmt::format("\n  {}: {} elements expected, {} saved", parameter,
                                   slot.residual.size(), it->second.size());
      }
    }
    for (const auto& [parameter, residual] : state) {
      if (!slots_.contains(parameter)) {
        differences += fmt::format("\n  {}: saved, but not a parameter of this model", parameter);
      }
    }
    if (differences.empty()) return Status::Ok();
    return Status::InvalidArgument("the saved memory is of another model:" + differences);
  }

  std::map<std::string, Slot, std::less<>> slots_;
};

}  // namespace

std::unique_ptr<Memory> MakeNoMemory() { return std::make_unique<NoMemory>(); }
std::unique_ptr<Memory> MakeResidualMemory() { return std::make_unique<ResidualMemory>(); }

Status MakeMemory(std::string_view name, std::unique_ptr<Memory>* memory) {
  if (name == "none") {
    *memory = MakeNoMemory();
  } else if (name == "residual") {
    *memory = MakeResidualMemory();
  } else {
    return Status::InvalidArgument(
        fmt::format("unknown memory \"{}\"; known: none, residual", name));
  }
  return Status::Ok();
}

}  // namespace cddp
