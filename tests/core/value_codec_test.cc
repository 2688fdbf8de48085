// Value codecs: what a receiver decodes is what the encoder said it would, close to
// what was encoded, and finite.
#include "core/value_codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/generators.h"

namespace cddp {
namespace {

constexpr ValueFormat kFormats[] = {ValueFormat::kFp32, ValueFormat::kBf16, ValueFormat::kFp16,
                                    ValueFormat::kInt8, ValueFormat::kInt4, ValueFormat::kSign};

struct Coded {
  std::vector<std::byte> bytes;
  std::vector<float> said;     // by the encoder
  std::vector<float> decoded;  // by a receiver
  bool valid = false;
};

Coded Code(ValueFormat format, const std::vector<float>& values, const Dither& dither = {}) {
  const ValueCodec& codec = *ValueCodecOf(format);
  Coded coded;
  coded.said = values;
  coded.bytes.assign(codec.BlockBytes(values.size()) + 3, std::byte{0xee});
  codec.Encode(coded.said, dither, coded.bytes.data());
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(coded.bytes[coded.bytes.size() - 1 - i], std::byte{0xee}) << codec.name();
  }
  coded.bytes.resize(codec.BlockBytes(values.size()));
  coded.valid = codec.Valid(coded.bytes.data(), values.size());
  coded.decoded.resize(values.size());
  codec.Decode(coded.bytes.data(), values.size(), coded.decoded.data());
  return coded;
}

double RelativeError(std::span<const float> got, std::span<const float> want) {
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(double{got[i]} - want[i], 2);
    norm += std::pow(double{want[i]}, 2);
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

TEST(ValueCodec, DecodesWhatTheEncoderSaid) {
  EXPECT_TRUE(HoldsFor(Cases(20'000), [] {
    const Recipe recipe = *Recipes(1, kBlockEntries, Pattern::kRawFinite);
    const auto stochastic = *rc::gen::arbitrary<bool>();
    const std::vector<float> values = ValuesOf(recipe);
    for (ValueFormat format : kFormats) {
      const Coded coded = Code(format, values, {stochastic, 7, 11});
      RC_ASSERT(coded.valid);
      RC_ASSERT(SameBits(coded.decoded, coded.said));
      for (float value : coded.decoded) RC_ASSERT(std::isfinite(value));
    }
  }));
}

TEST(ValueCodec, EveryLengthOfABlock) {
  for (size_t length = 1; length <= kBlockEntries; ++length) {
    const std::vector<float> values = ValuesOf({Pattern::kUniform, 1, length});
    for (ValueFormat format : kFormats) {
      const Coded coded = Code(format, values);
      ASSERT_TRUE(coded.valid);
      ASSERT_TRUE(SameBits(coded.decoded, coded.said)) << length;
    }
  }
}

TEST(ValueCodec, ErrorsAreThoseOfTheirBits) {
  // As top-k leaves them: magnitudes from 1 to about 3.
  std::vector<float> values = ValuesOf({Pattern::kUniform, 2, kBlockEntries});
  for (float& value : values) value = value < 0 ? 2 * value - 1 : 2 * value + 1;
  const auto error = [&](ValueFormat format) {
    return RelativeError(Code(format, values).decoded, values);
  };
  EXPECT_EQ(error(ValueFormat::kFp32), 0);
  EXPECT_LT(error(ValueFormat::kFp16), 3e-4);
  EXPECT_LT(error(ValueFormat::kBf16), 2.5e-3);
  EXPECT_LT(error(ValueFormat::kInt8), 5e-3);
  EXPECT_LT(error(ValueFormat::kInt4), 0.06);
  EXPECT_LT(error(ValueFormat::kSign), 0.4);
}

TEST(ValueCodec, Int4KeepsTheEnds) {
  const std::vector<float> values = {-0.25f, 4.0f, 1.0f, -4.0f, 0.25f};  // fit bf16
  const Coded coded = Code(ValueFormat::kInt4, values);
  EXPECT_EQ(coded.decoded[0], -0.25f);
  EXPECT_EQ(coded.decoded[1], 4.0f);
  EXPECT_EQ(coded.decoded[3], -4.0f);
  EXPECT_EQ(coded.decoded[4], 0.25f);
}

// Their scale is rounded to bf16.
TEST(ValueCodec, OfOneValueOrEqualOnesLittleIsLost) {
  for (float value : {1.5f, -0.1f, 3e-38f, -3e38f, 0.0f, -0.0f}) {
    for (size_t length : {1, 2, 255}) {
      const std::vector<float> values(length, value);
      for (ValueFormat format :
           {ValueFormat::kFp32, ValueFormat::kInt8, ValueFormat::kInt4, ValueFormat::kSign}) {
        for (float decoded : Code(format, values).decoded) {
          ASSERT_NEAR(decoded, value, std::abs(value) * 0x1p-7f);
        }
      }
    }
  }
}

TEST(ValueCodec, HalvesByHand) {
  const std::vector<float> values = {1.0f,     1.00048828125f, 1.001f,       65504.0f,
                                     65519.9f, 1e30f,          0x1p-14f,     0x1p-24f,
                                     0x1p-25f, 0x1.8p-25f,     0x1.ff8p-15f, -2.0f};
  const std::vector<float> want = {1.0f,     1.0f,     1.0009765625f, 65504.0f,
                                   65504.0f, 65504.0f, 0x1p-14f,      0x1p-24f,
                                   0.0f,     0x1p-24f, 0x1.ff8p-15f,  -2.0f};
  EXPECT_EQ(Code(ValueFormat::kFp16, values).decoded, want);
  const std::vector<float> bf16 =
      Code(ValueFormat::kBf16, {1.0f, 1.00390625f, 1.01171875f, 3.4e38f, -3.4e38f, 1e-40f}).decoded;
  EXPECT_EQ(bf16[0], 1.0f);
  EXPECT_EQ(bf16[1], 1.0f) << "a tie goes to even";
  EXPECT_EQ(bf16[2], 1.015625f) << "this one too";
  EXPECT_EQ(bf16[3], 0x1.fep127f) << "not infinite";
  EXPECT_EQ(bf16[4], -0x1.fep127f);
  EXPECT_EQ(bf16[5], 0x1p-133f) << "denormal";
}

#ifdef __FLT16_MANT_DIG__
// _Float16 is the compiler's; clang has it from version 15 on.
TEST(ValueCodec, EveryHalfAndItsNeighbours) {
  for (uint32_t half = 0; half < 0x7c00; ++half) {
    _Float16 exact;
    const auto bits = static_cast<uint16_t>(half);
    std::memcpy(&exact, &bits, sizeof(exact));
    const auto value = static_cast<float>(exact);
    const float next = std::nextafter(value, 1e9f);
    const float between = half + 1 < 0x7c00 ? value + (value > 0 ? value * 0x1p-11f : 0) : value;
    const std::vector<float> values = {value, -value, next, between};
    const Coded coded = Code(ValueFormat::kFp16, values);
    for (size_t i = 0; i < values.size(); ++i) {
      const float limited = std::clamp(values[i], -65504.0f, 65504.0f);
      ASSERT_EQ(coded.decoded[i], static_cast<float>(static_cast<_Float16>(limited))) << values[i];
    }
  }
}
#endif

TEST(ValueCodec, StochasticRoundingIsUnbiasedAndRepeatable) {
  const std::vector<float> values = ValuesOf({Pattern::kUniform, 3, kBlockEntries});
  for (ValueFormat format : {ValueFormat::kInt8, ValueFormat::kInt4}) {
    std::vector<double> mean(values.size());
    constexpr int kRounds = 4'000;
    for (int round = 0; round < kRounds; ++round) {
      const Coded coded = Code(format, values, {true, static_cast<uint64_t>(round) * 977, 5});
      for (size_t i = 0; i < values.size(); ++i) mean[i] += coded.decoded[i] / double{kRounds};
    }
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      worst = std::max(worst, std::abs(mean[i] - values[i]));
    }
    // Five standard errors of a level drawn by chance; the values are within +-1.
    const double level = format == ValueFormat::kInt8 ? 1.0 / 127 : 1.0 / 7;
    EXPECT_LT(worst, 5 * 0.5 * level / std::sqrt(kRounds));

    const Dither dither{true, 42, 256};
    EXPECT_EQ(Code(format, values, dither).bytes, Code(format, values, dither).bytes);
    EXPECT_NE(Code(format, values, dither).bytes, Code(format, values, {true, 43, 256}).bytes);
    EXPECT_NE(Code(format, values, dither).bytes, Code(format, values, {true, 42, 512}).bytes);
  }
}

TEST(ValueCodec, NoiseIsRefusedOrFinite) {
  int accepted = 0;
  int refused = 0;
  for (int c = 0; c < Cases(200'000); ++c) {
    RandomBits bits(static_cast<uint64_t>(c));
    const size_t length = 1 + bits.Below(40);
    for (ValueFormat format : kFormats) {
      const ValueCodec& codec = *ValueCodecOf(format);
      std::vector<std::byte> block(codec.BlockBytes(length));
      for (std::byte& byte : block) byte = static_cast<std::byte>(bits());
      const bool valid = codec.Valid(block.data(), length);
      ++(valid ? accepted : refused);
      if (!valid) continue;
      std::vector<float> values(length);
      codec.Decode(block.data(), length, values.data());
      for (float value : values) ASSERT_TRUE(std::isfinite(value)) << codec.name();
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace cddp
