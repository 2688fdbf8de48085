#include "cddp/memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/sweep.h"

namespace cddp {
namespace {

// A gradient as it is.
class PlainAccumulation final : public Accumulation {
 public:
  explicit PlainAccumulation(std::span<const float> gradient) { Begin(gradient); }

  void TakeOut(std::span<const uint32_t> indices, float* values) override {
    for (size_t i = 0; i < indices.size(); ++i) values[i] = gradient_[indices[i]];
  }
  void TakeAll(float* values) override { std::ranges::copy(Values(), values); }
  void PutBack(std::span<const uint32_t>, std::span<const float>) override {}
  float Peek(size_t i) const override { return gradient_[i]; }

 private:
  Swept DoSweep(Pass, size_t begin, size_t count, uint32_t threshold, Entries out) override {
    return CompactAtLeast(gradient_.subspan(begin, count), threshold, static_cast<uint32_t>(begin),
                          out);
  }
  std::span<const float> SweptValues() const override { return gradient_; }
};

class NoMemory final : public Memory {
 public:
  std::string_view name() const override { return "none"; }

  Status Accumulate(std::string_view, std::span<const float> gradient,
                    Accumulation** accumulation) override {
    *accumulation = &accumulations_.emplace_back(gradient);
    return Status::Ok();
  }
  Status AccumulateAll(std::string_view, std::span<float>) override { return Status::Ok(); }
  void Settle(std::string_view, uint32_t, std::span<const uint32_t>, std::span<const float>,
              std::span<const float>) override {}
  void Commit() override { accumulations_.clear(); }
  void Void() override { accumulations_.clear(); }
  Status Add(std::string_view, std::span<const float>) override { return Status::Ok(); }
  std::vector<float> TakeResidual(std::string_view) override { return {}; }
  MemoryState Save() const override { return {}; }
  Status Load(const MemoryState& state) override {
    if (state.empty()) return Status::Ok();
    return Status::InvalidArgument(
        fmt::format("memory \"none\" keeps no state, but the saved one has {} entries "
                    "(first: {}); was it saved with another memory?",
                    state.size(), state.begin()->first));
  }
  NormByParameter ResidualNorms() const override { return {}; }

 private:
  std::deque<PlainAccumulation> accumulations_;  // of this step
};

}  // namespace

double NormOf(const NormByParameter& norms) {
  double squares = 0;
  for (const auto& [parameter, norm] : norms) squares += norm * norm;
  return std::sqrt(squares);
}

std::span<const std::string_view> MemoryParts(std::string_view memory) {
  static constexpr std::string_view kResidual[] = {""};
  static constexpr std::string_view kDgc[] = {"/residual", "/velocity"};
  if (memory == "residual") return kResidual;
  if (memory == "dgc") return kDgc;
  return {};
}

std::optional<MemoryKey> ParseMemoryKey(std::string_view memory, std::string_view key) {
  const std::span<const std::string_view> parts = MemoryParts(memory);
  for (size_t part = 0; part < parts.size(); ++part) {
    if (!key.ends_with(parts[part])) continue;
    key.remove_suffix(parts[part].size());
    return MemoryKey{std::string(key), part};
  }
  return std::nullopt;
}

std::unique_ptr<Memory> MakeNoMemory() { return std::make_unique<NoMemory>(); }

std::vector<std::string> MemoryNames() { return {"none", "residual", "dgc"}; }

Status MakeMemory(const MemoryOptions& options, std::unique_ptr<Memory>* memory) {
  if (!(options.momentum >= 0 && options.momentum < 1)) {
    return Status::InvalidArgument(fmt::format(
        "the momentum of a memory must be at least 0 and below 1, got {}", options.momentum));
  }
  if (!(options.clip_norm >= 0)) {
    return Status::InvalidArgument(fmt::format(
        "the clipping norm must be at least 0 (0: no clipping), got {}", options.clip_norm));
  }
  if (options.name == "none") {
    *memory = MakeNoMemory();
  } else if (options.name == "residual") {
    *memory = MakeResidualMemory();
  } else if (options.name == "dgc") {
    *memory = MakeDgcMemory(options);
  } else {
    return Status::InvalidArgument(fmt::format("unknown memory \"{}\"; known: {}", options.name,
                                               fmt::join(MemoryNames(), ", ")));
  }
  return Status::Ok();
}

}  // namespace cddp
