#include "core/value_codec.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/split_mix.h"

namespace cddp {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "each operation must round to single precision");

constexpr uint32_t kSign = 0x80000000u;
constexpr uint32_t kMagnitude = 0x7fffffffu;
constexpr float kLargest = std::numeric_limits<float>::max();

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void Store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

// bf16 is the upper half of a float.
constexpr uint32_t kInfinity16 = 0x7f80;
constexpr uint32_t kLargest16 = kInfinity16 - 1;

float FromBf16(uint32_t half) { return std::bit_cast<float>(half << 16); }

// Of a magnitude: to nearest even, but what would become infinite becomes the largest.
uint32_t ToBf16(uint32_t magnitude) {
  return std::min((magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16, kLargest16);
}

// The same, up and down: for scales that values must lie between.
uint32_t ToBf16Up(uint32_t magnitude) { return std::min((magnitude + 0xffff) >> 16, kLargest16); }
uint32_t ToBf16Down(uint32_t magnitude) { return magnitude >> 16; }

// A block's scale: neither negative nor infinite nor a NaN.
bool ValidScale(const std::byte* from) { return Load<uint16_t>(from) < kInfinity16; }
float LoadScale(const std::byte* from) { return FromBf16(Load<uint16_t>(from)); }
void StoreScale(std::byte* to, uint32_t half) { Store(to, static_cast<uint16_t>(half)); }

// To the nearest integer, ties to even; for 0 <= x < 2^22. Adding and taking away 1.5 * 2^23
// leaves no bits for a fraction, and unlike a call of nearbyint it is vectorised.
float Nearest(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}

// Of level[i] >= 0, in place.
void Round(std::span<float> levels, const Dither& dither) {
  if (dither.stochastic) {
    for (size_t i = 0; i < levels.size(); ++i) {
      levels[i] = std::floor(levels[i] + Chance(dither.key, dither.entry + i));
    }
  } else {
    for (float& level : levels) level = Nearest(level);
  }
}

class Fp32 final : public ValueCodec {
 public:
  std::string_view name() const override { return "fp32"; }
  size_t BlockBytes(size_t count) const override { return sizeof(float) * count; }

  void Encode(std::span<float> values, const Dither&, std::byte* out) const override {
    std::memcpy(out, values.data(), values.size_bytes());
  }

  bool Valid(const std::byte* block, size_t count) const override {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      largest = std::max(largest, Load<uint32_t>(block + 4 * i) & kMagnitude);
    }
    return largest <= Bits(kLargest);
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    std::memcpy(values, block, sizeof(float) * count);
  }
};

class Bf16 final : public ValueCodec {
 public:
  std::string_view name() const override { return "bf16"; }
  size_t BlockBytes(size_t count) const override { return sizeof(uint16_t) * count; }

  void Encode(std::span<float> values, const Dither&, std::byte* out) const override {
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t bits = Bits(values[i]);
      const uint32_t half = (bits & kSign) >> 16 | ToBf16(bits & kMagnitude);
      Store(out + 2 * i, static_cast<uint16_t>(half));
      values[i] = FromBf16(half);
    }
  }

  bool Valid(const std::byte* block, size_t count) const override {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      largest = std::max(largest, uint32_t{Load<uint16_t>(block + 2 * i)} & 0x7fff);
    }
    return largest < kInfinity16;
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    for (size_t i = 0; i < count; ++i) values[i] = FromBf16(Load<uint16_t>(block + 2 * i));
  }
};

// IEEE half precision, rounded to nearest even; beyond +-65504 that.
class Fp16 final : public ValueCodec {
 public:
  std::string_view name() const override { return "fp16"; }
  size_t BlockBytes(size_t count) const override { return sizeof(uint16_t) * count; }

  void Encode(std::span<float> values, const Dither&, std::byte* out) const override {
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = ToHalf(values[i]);
      Store(out + 2 * i, half);
      values[i] = FromHalf(half);
    }
  }

  bool Valid(const std::byte* block, size_t count) const override {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      largest = std::max(largest, uint32_t{Load<uint16_t>(block + 2 * i)} & 0x7fff);
    }
    return largest < 0x7c00;
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    for (size_t i = 0; i < count; ++i) values[i] = FromHalf(Load<uint16_t>(block + 2 * i));
  }

 private:
  static uint16_t ToHalf(float value) {
    constexpr float kLargestHalf = 65504.0f;
    constexpr float kSmallestNormal = 0x1p-14f;
    const auto sign = static_cast<uint32_t>((Bits(value) & kSign) >> 16);
    const float magnitude = std::min(std::abs(value), kLargestHalf);
    uint32_t half;
    if (magnitude < kSmallestNormal) {
      // Denormal: a multiple of 2^-24, up to the smallest normal one.
      half = static_cast<uint32_t>(Nearest(magnitude * 0x1p24f));
    } else {
      const uint32_t bits = Bits(magnitude);
      const uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
      half = (rounded >> 13) - (112u << 10);  // exponents biased by 15, not by 127
    }
    return static_cast<uint16_t>(sign | half);
  }

  static float FromHalf(uint16_t half) {
    const uint32_t sign = uint32_t{half & 0x8000u} << 16;
    const uint32_t magnitude = half & 0x7fffu;
    const float value = magnitude < 0x400 ? static_cast<float>(magnitude) * 0x1p-24f
                                          : std::bit_cast<float>((magnitude << 13) + (112u << 23));
    return std::bit_cast<float>(sign | Bits(value));
  }
};

// The largest magnitude m, rounded up to bf16, then a signed byte q for each value:
// q * (m / 127).
class Int8 final : public ValueCodec {
 public:
  std::string_view name() const override { return "int8"; }
  size_t BlockBytes(size_t count) const override { return kHead + count; }

  void Encode(std::span<float> values, const Dither& dither, std::byte* out) const override {
    uint32_t largest = 0;
    for (float value : values) largest = std::max(largest, Bits(value) & kMagnitude);
    StoreScale(out, ToBf16Up(largest));
    const float most = LoadScale(out);
    const float step = most / kLevels;
    float levels[kBlockEntries] = {};
    if (step > 0) {
      for (size_t i = 0; i < values.size(); ++i) levels[i] = std::abs(values[i]) / step;
      Round({levels, values.size()}, dither);
    }
    for (size_t i = 0; i < values.size(); ++i) {
      const auto level = static_cast<int32_t>(std::min(levels[i], kLevels));
      const int32_t code = std::signbit(values[i]) ? -level : level;
      Store(out + kHead + i, static_cast<int8_t>(code));
      values[i] = Value(code, step, most);
    }
  }

  bool Valid(const std::byte* block, size_t count) const override {
    bool valid = ValidScale(block);
    for (size_t i = 0; i < count; ++i) valid &= Load<int8_t>(block + kHead + i) != -128;
    return valid;
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    const float most = LoadScale(block);
    const float step = most / kLevels;
    for (size_t i = 0; i < count; ++i) {
      values[i] = Value(Load<int8_t>(block + kHead + i), step, most);
    }
  }

 private:
  static constexpr float kLevels = 127.0f;
  static constexpr size_t kHead = sizeof(uint16_t);

  // Not beyond `most`: 127 steps of the largest number may be infinite.
  static float Value(int32_t code, float step, float most) {
    return std::max(-most, std::min(static_cast<float>(code) * step, most));
  }
};

// The smallest and the largest magnitude, lo rounded down and hi up to bf16, then four
// bits for each value, two to a byte, the first in the low half: a sign (bit 3) and a level l,
// which is the magnitude lo + l * ((hi - lo) / 7).
class Int4 final : public ValueCodec {
 public:
  std::string_view name() const override { return "int4"; }
  size_t BlockBytes(size_t count) const override { return kHead + (count + 1) / 2; }

  void Encode(std::span<float> values, const Dither& dither, std::byte* out) const override {
    const size_t count = values.size();
    uint32_t least = Bits(kLargest);
    uint32_t most = 0;
    for (float value : values) {
      least = std::min(least, Bits(value) & kMagnitude);
      most = std::max(most, Bits(value) & kMagnitude);
    }
    StoreScale(out, ToBf16Down(least));
    StoreScale(out + sizeof(uint16_t), ToBf16Up(most));
    const float lo = LoadScale(out);
    const float hi = LoadScale(out + sizeof(uint16_t));
    const float step = (hi - lo) / kLevels;
    float levels[kBlockEntries] = {};
    if (step > 0) {
      for (size_t i = 0; i < count; ++i) levels[i] = (std::abs(values[i]) - lo) / step;
      Round({levels, count}, dither);
    }
    uint8_t codes[kBlockEntries + 1];
    for (size_t i = 0; i < count; ++i) {
      const float level = std::min(levels[i], kLevels);
      const uint32_t sign = Bits(values[i]) & kSign;
      codes[i] = static_cast<uint8_t>(sign >> 28 | static_cast<uint32_t>(level));
      values[i] = std::bit_cast<float>(sign | Bits(std::min(lo + level * step, hi)));
    }
    codes[count] = 0;  // of the last byte, when the count is odd
    for (size_t i = 0; i < (count + 1) / 2; ++i) {
      out[kHead + i] = static_cast<std::byte>(codes[2 * i] | codes[2 * i + 1] << 4);
    }
  }

  bool Valid(const std::byte* block, size_t count) const override {
    if (!ValidScale(block) || !ValidScale(block + sizeof(uint16_t))) return false;
    if (LoadScale(block) > LoadScale(block + sizeof(uint16_t))) return false;
    return count % 2 == 0 || std::to_integer<int>(block[kHead + count / 2]) >> 4 == 0;
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    const float lo = LoadScale(block);
    const float hi = LoadScale(block + sizeof(uint16_t));
    const float step = (hi - lo) / kLevels;
    float table[16];
    for (int level = 0; level < 8; ++level) {
      table[level] = std::min(lo + static_cast<float>(level) * step, hi);
      table[level + 8] = -table[level];
    }
    const std::byte* const codes = block + kHead;
    for (size_t i = 0; i + 2 <= count; i += 2) {
      const auto pair = std::to_integer<uint32_t>(codes[i / 2]);
      values[i] = table[pair & 15];
      values[i + 1] = table[pair >> 4];
    }
    if (count % 2 == 1) values[count - 1] = table[std::to_integer<uint32_t>(codes[count / 2]) & 15];
  }

 private:
  static constexpr float kLevels = 7.0f;
  static constexpr size_t kHead = 2 * sizeof(uint16_t);
};

// The mean magnitude (bf16), then a sign bit for each value, eight to a byte, the first
// in the lowest bit (EF-SignSGD, Karimireddy et al. 2019).
class Sign final : public ValueCodec {
 public:
  std::string_view name() const override { return "sign"; }
  size_t BlockBytes(size_t count) const override { return kHead + (count + 7) / 8; }

  void Encode(std::span<float> values, const Dither&, std::byte* out) const override {
    double sum = 0;
    for (float value : values) sum += std::abs(value);
    StoreScale(out, ToBf16(Bits(static_cast<float>(sum / static_cast<double>(values.size())))));
    const float mean = LoadScale(out);
    std::fill_n(out + kHead, BlockBytes(values.size()) - kHead, std::byte{0});
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t sign = Bits(values[i]) & kSign;
      out[kHead + i / 8] |= static_cast<std::byte>(sign >> 31 << (i % 8));
      values[i] = std::bit_cast<float>(sign | Bits(mean));
    }
  }

  bool Valid(const std::byte* block, size_t count) const override {
    if (!ValidScale(block)) return false;
    return count % 8 == 0 || std::to_integer<int>(block[kHead + count / 8]) >> (count % 8) == 0;
  }

  void Decode(const std::byte* block, size_t count, float* values) const override {
    const uint32_t mean = Bits(LoadScale(block));
    float eight[8];
    for (size_t i = 0; i < count; i += 8) {
      const auto signs = std::to_integer<uint32_t>(block[kHead + i / 8]);
      for (unsigned j = 0; j < 8; ++j) {
        eight[j] = std::bit_cast<float>(mean | (signs >> j & 1) << 31);
      }
      std::copy_n(eight, std::min<size_t>(8, count - i), values + i);
    }
  }

 private:
  static constexpr size_t kHead = sizeof(uint16_t);
};

}  // namespace

const ValueCodec* ValueCodecOf(ValueFormat format) {
  static const Fp32 fp32;
  static const Bf16 bf16;
  static const Fp16 fp16;
  static const Int8 int8;
  static const Int4 int4;
  static const Sign sign;
  switch (format) {
    case ValueFormat::kFp32:
      return &fp32;
    case ValueFormat::kBf16:
      return &bf16;
    case ValueFormat::kFp16:
      return &fp16;
    case ValueFormat::kInt8:
      return &int8;
    case ValueFormat::kInt4:
      return &int4;
    case ValueFormat::kSign:
      return &sign;
  }
  return nullptr;
}

}  // namespace cddp
