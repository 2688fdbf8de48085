// The memory law, bit for bit: accumulated == decode(frame) + memory_new, and a
// void step is as if it had not been. Checked from outside, through the frames.
#include <gtest/gtest.h>

#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

struct LawCase {
  Recipe gradient;
  Recipe memory;
  double ratio = 1.0;
};

LawCase AnyCase() {
  LawCase c;
  c.gradient = *Recipes(1, 60, Pattern::kRawFinite);
  c.memory = *Recipes(0, 0, Pattern::kRawFinite);
  c.memory.length = c.gradient.length;
  c.ratio = *rc::gen::element(0.01, 0.1, 0.37, 0.9, 1.0);
  return c;
}

TEST(MemoryLaw, HoldsBitForBit) {
  int committed = 0;
  int voided = 0;
  EXPECT_TRUE(HoldsFor(Cases(100'000), [&] {
    const LawCase c = AnyCase();
    std::unique_ptr<Compressor> compressor;
    RC_ASSERT(Compressor::Create({.ratio = c.ratio, .whole_limit = 0}, &compressor).ok());
    OwnedBucket bucket(0, {static_cast<uint32_t>(c.gradient.length)});
    bucket.values = ValuesOf(c.gradient);
    const std::string& parameter = bucket.parameters[0].name;
    const std::vector<float> memory_old = ValuesOf(c.memory);
    RC_ASSERT(compressor->memory().Load({{parameter, memory_old}}).ok());

    std::vector<float> accumulated(bucket.values.size());
    bool finite = true;
    for (size_t i = 0; i < accumulated.size(); ++i) {
      accumulated[i] = bucket.values[i] + memory_old[i];
      finite &= std::isfinite(accumulated[i]);
    }

    std::vector<std::byte> frame;
    RC_ASSERT(compressor->Compress(bucket.At(3), 2, &frame).ok());
    FrameView view;
    const FrameId id{3, 0, 2, static_cast<uint32_t>(accumulated.size())};
    RC_ASSERT(ValidateFrame(frame, id, compressor->EntryCount(bucket.At(3)), &view).ok());
    RC_ASSERT(view.non_finite == !finite);
    compressor->EndStep(finite);
    const std::vector<float> memory_new = compressor->memory().Save().at(parameter);
    if (!finite) {
      ++voided;
      RC_ASSERT(SameBits(memory_new, memory_old));
      return;
    }
    ++committed;
    std::vector<float> decoded(accumulated.size(), 0.0f);
    DecodeAdd(view, decoded);
    for (size_t i = 0; i < accumulated.size(); ++i) {
      RC_ASSERT(accumulated[i] == decoded[i] + memory_new[i]);
      RC_ASSERT(decoded[i] == 0.0f || memory_new[i] == 0.0f);
    }
  }));
  EXPECT_GT(committed, 0);
  EXPECT_GT(voided, 0) << "sums that overflow belong to the cases";
}

}  // namespace
}  // namespace cddp
