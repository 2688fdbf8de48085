// The memory law: accumulated == decode(frame) + memory_new, bit for bit with the values
// fp32 and bf16, within one unit in the last place with the others, and a void step is
// as if it had not been. Checked from outside, through the frames.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "core/sweep.h"
#include "tests/add_entries.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

struct LawCase {
  Recipe gradient;
  Recipe memory;
  double ratio = 1.0;
  ValueFormat values = ValueFormat::kFp32;
};

LawCase AnyCase() {
  LawCase c;
  c.gradient = *Recipes(1, 60, Pattern::kRawFinite);
  c.memory = *Recipes(0, 0, Pattern::kRawFinite);
  c.memory.length = c.gradient.length;
  c.ratio = *rc::gen::element(0.01, 0.1, 0.37, 0.9, 1.0);
  c.values = *rc::gen::element(ValueFormat::kFp32, ValueFormat::kBf16, ValueFormat::kFp16,
                               ValueFormat::kInt8, ValueFormat::kInt4, ValueFormat::kSign);
  return c;
}

bool Holds(ValueFormat values, float accumulated, float decoded, float kept) {
  const float sum = decoded + kept;
  if (values == ValueFormat::kFp32) return sum == accumulated && (decoded == 0 || kept == 0);
  if (values == ValueFormat::kBf16) return sum == accumulated;
  const float largest = std::max(std::abs(accumulated), std::abs(decoded));
  const float unit = std::nextafter(largest, std::numeric_limits<float>::infinity()) - largest;
  return std::abs(sum - accumulated) <= unit;
}

constexpr float kLawMomentum = 0.9f;

constexpr double kLawClip = 2;

// What the memory adds to its residual in this step; also moves `velocity` on.
std::vector<float> UpdateOf(const std::string& memory, std::span<const float> gradient,
                            std::vector<float>& velocity) {
  std::vector<float> update(gradient.begin(), gradient.end());
  if (memory == "residual") return update;
  if (memory == "dgc_clipped") {
    const double norm = std::sqrt(SumOfSquares(gradient));
    const auto scale = static_cast<float>(kLawClip / norm);
    if (std::isfinite(norm) && norm > kLawClip) {
      for (float& value : update) value *= scale;
    }
  }
  for (size_t i = 0; i < update.size(); ++i) {
    velocity[i] = kLawMomentum * velocity[i] + update[i];
    update[i] = velocity[i];
  }
  return update;
}

class MemoryLaw : public ::testing::TestWithParam<std::string> {};

TEST_P(MemoryLaw, Holds) {
  const bool dgc = GetParam() != "residual";
  const bool masking = GetParam() == "dgc_masking";
  const bool clipped = GetParam() == "dgc_clipped";
  int committed = 0;
  int voided = 0;
  EXPECT_TRUE(HoldsFor(Cases(100'000), [&] {
    const LawCase c = AnyCase();
    std::unique_ptr<Compressor> compressor;
    RC_ASSERT(Compressor::Create({.ratio = c.ratio,
                                  .whole_limit = 0,
                                  .memory = {.name = dgc ? "dgc" : "residual",
                                             .momentum = kLawMomentum,
                                             .clip_norm = clipped ? kLawClip : 0,
                                             .momentum_masking = masking},
                                  .format = {.values = c.values}},
                                 &compressor)
                  .ok());
    OwnedBucket bucket(0, {static_cast<uint32_t>(c.gradient.length)});
    bucket.values = ValuesOf(c.gradient);
    const std::string parameter = bucket.parameters[0].name;
    const std::string residual = parameter + (dgc ? "/residual" : "");
    const std::vector<float> memory_old = ValuesOf(c.memory);
    std::vector<float> velocity(memory_old.rbegin(), memory_old.rend());
    MemoryState state{{residual, memory_old}};
    if (dgc) state[parameter + "/velocity"] = velocity;
    RC_ASSERT(compressor->memory().Load(state).ok());

    const std::vector<float> update = UpdateOf(GetParam(), bucket.values, velocity);
    std::vector<float> accumulated(update.size());
    bool finite = true;
    for (size_t i = 0; i < accumulated.size(); ++i) {
      accumulated[i] = memory_old[i] + update[i];
      finite &= std::isfinite(accumulated[i]);
    }

    std::vector<std::byte> frame;
    RC_ASSERT(compressor->Compress(bucket.At(3), 2, &frame).ok());
    FrameView view;
    const FrameId id{3, 0, 2, static_cast<uint32_t>(accumulated.size())};
    const size_t entries = compressor->EntryCount(bucket.At(3));
    Selection entries_sent;
    RC_ASSERT(DecodeFrame(frame, id, entries, &view, &entries_sent).ok());
    RC_ASSERT(view.non_finite == !finite);
    compressor->EndStep(finite);
    const MemoryState saved = compressor->memory().Save();
    const std::vector<float>& memory_new = saved.at(residual);
    if (!finite) {
      ++voided;
      for (const auto& [key, values] : saved) RC_ASSERT(SameBits(values, state.at(key)));
      return;
    }
    ++committed;
    std::vector<float> decoded(accumulated.size(), 0.0f);
    AddEntries(entries_sent, &decoded);
    std::vector<bool> sent(accumulated.size());
    for (uint32_t index : entries_sent.indices) sent[index] = true;
    for (size_t i = 0; i < accumulated.size(); ++i) {
      RC_ASSERT(Holds(c.values, accumulated[i], decoded[i], memory_new[i]));
      if (!dgc) continue;
      // With masking zero where sent, unless the parameter went whole.
      const float v = saved.at(parameter + "/velocity")[i];
      const bool whole = entries == accumulated.size();
      RC_ASSERT(v == (masking && sent[i] && !whole ? 0.0f : velocity[i]));
    }
  }));
  EXPECT_GT(committed, 0);
  EXPECT_GT(voided, 0) << "sums that overflow belong to the cases";
}

INSTANTIATE_TEST_SUITE_P(Memories, MemoryLaw,
                         ::testing::Values("residual", "dgc", "dgc_masking", "dgc_clipped"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cddp
