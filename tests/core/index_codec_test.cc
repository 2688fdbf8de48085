// Index codecs: what goes in comes out, in as few bits as promised.
#include "core/index_codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/bits.h"
#include "tests/core/generators.h"

namespace cddp {
namespace {

struct OwnedSet {
  std::vector<uint32_t> indices;
  std::vector<size_t> run_ends;
  uint32_t elements = 0;

  IndexSet set() const { return {indices, run_ends, elements}; }
};

// Of `elements`, so many as `density` says, drawn by chance.
OwnedSet UniformSet(uint32_t elements, double density, uint64_t seed) {
  RandomBits bits(seed);
  OwnedSet set{.indices = {}, .run_ends = {}, .elements = elements};
  auto wanted = static_cast<uint32_t>(std::llround(density * elements));
  for (uint32_t i = 0; i < elements; ++i) {
    if (bits.Below(elements - i) < wanted) {
      set.indices.push_back(i);
      --wanted;
    }
  }
  set.run_ends = {set.indices.size()};
  return set;
}

// Dense patches with much nothing in between.
OwnedSet ClusteredSet(uint32_t elements, uint32_t patches, uint32_t patch, uint64_t seed) {
  RandomBits bits(seed);
  OwnedSet set{.indices = {}, .run_ends = {}, .elements = elements};
  for (uint32_t p = 0; p < patches; ++p) {
    const uint32_t begin = static_cast<uint32_t>(uint64_t{elements} * p / patches);
    for (uint32_t i = 0; i < patch; ++i) {
      if (bits.Below(2) == 0) set.indices.push_back(begin + i);
    }
  }
  set.run_ends = {set.indices.size()};
  return set;
}

const std::vector<const IndexCodec*>& AllCodecs() {
  static const std::vector<const IndexCodec*> codecs = {&Raw32Codec(), &RiceCodec(), &BitmapCodec(),
                                                        &RiceAbsentCodec(), &RiceBlocksCodec()};
  return codecs;
}

std::vector<std::byte> Encode(const IndexCodec& codec, const OwnedSet& set) {
  const size_t blocks = MaxBlocks(set.indices.size(), set.run_ends.size());
  const size_t most = codec.MaxBytes(set.indices.size(), set.elements, blocks);
  std::vector<std::byte> bytes(most + IndexCodec::kSlack, std::byte{0xaa});
  const size_t size = codec.Encode(set.set(), bytes.data());
  EXPECT_LE(size, most) << codec.name();
  bytes.resize(size);
  bytes.shrink_to_fit();  // so that a sanitizer sees a read past the end
  return bytes;
}

// The indices that the bytes say; fewer when a block is refused.
std::vector<uint32_t> ReadSet(const IndexCodec& codec, const OwnedSet& like,
                              const std::vector<std::byte>& bytes, bool* whole) {
  IndexCursor cursor;
  cursor.bytes = bytes;
  cursor.elements = like.elements;
  std::vector<uint32_t> indices;
  size_t blocks = 0;
  ForBlocks(like.run_ends, [&](size_t, size_t) { ++blocks; });
  *whole = codec.Start(like.indices.size(), blocks, &cursor);
  ForBlocks(like.run_ends, [&](size_t begin, size_t count) {
    if (!*whole) return;
    indices.resize(begin + count);
    *whole = codec.Next(&cursor, count, indices.data() + begin);
    if (!*whole) indices.resize(begin);
  });
  *whole = *whole && codec.Finished(&cursor);
  return indices;
}

::testing::AssertionResult RoundTrips(const IndexCodec& codec, const OwnedSet& set) {
  bool whole = false;
  const auto got = ReadSet(codec, set, Encode(codec, set), &whole);
  if (got == set.indices && whole) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << codec.name() << ": " << set.indices.size() << " of " << set.elements;
}

double BitsPerIndex(const IndexCodec& codec, const OwnedSet& set) {
  return 8.0 * static_cast<double>(Encode(codec, set).size()) /
         static_cast<double>(set.indices.size());
}

// Of a set drawn by chance, in bits.
double Entropy(const OwnedSet& set) {
  const double p = static_cast<double>(set.indices.size()) / set.elements;
  if (p <= 0 || p >= 1) return 0;
  return -static_cast<double>(set.elements) * (p * std::log2(p) + (1 - p) * std::log2(1 - p));
}

TEST(IndexCodec, RandomSets) {
  EXPECT_TRUE(HoldsFor(Cases(20'000), [] {
    RandomBits bits(*rc::gen::resize(100, rc::gen::arbitrary<uint32_t>()));
    OwnedSet set;
    const uint64_t spread = uint64_t{1} << bits.Below(20);
    uint64_t next = 0;
    for (uint64_t left = bits.Below(700); left > 0; --left) {
      // Now and then far away.
      next += bits.Below(bits.Below(64) == 0 ? 1000 * spread : spread);
      if (next >= 0xfffffff0u) break;
      set.indices.push_back(static_cast<uint32_t>(next++));
    }
    for (size_t end = 0; end < set.indices.size();) {
      end = std::min(set.indices.size(), end + bits.Below(400));
      set.run_ends.push_back(end);
    }
    set.elements =
        static_cast<uint32_t>(std::min<uint64_t>(next + bits.Below(spread), 0xffffffffu));
    RC_ASSERT(static_cast<bool>(RoundTrips(RiceCodec(), set)));
    RC_ASSERT(static_cast<bool>(RoundTrips(RiceBlocksCodec(), set)));
    RC_ASSERT(static_cast<bool>(RoundTrips(Raw32Codec(), set)));
    if (set.elements > 100'000) return;
    RC_ASSERT(static_cast<bool>(RoundTrips(BitmapCodec(), set)));
    RC_ASSERT(static_cast<bool>(RoundTrips(RiceAbsentCodec(), set)));
  }));
}

TEST(IndexCodec, AllSubsetsOfTen) {
  for (uint32_t subset = 0; subset < 1024; ++subset) {
    OwnedSet set{.indices = {}, .run_ends = {}, .elements = 10};
    for (uint32_t i = 0; i < 10; ++i) {
      if ((subset >> i & 1) != 0) set.indices.push_back(i);
    }
    set.run_ends = {set.indices.size() / 2, set.indices.size()};
    for (const IndexCodec* codec : AllCodecs()) ASSERT_TRUE(RoundTrips(*codec, set)) << subset;
  }
}

TEST(IndexCodec, LargestIndices) {
  for (const OwnedSet& set :
       {OwnedSet{{0xfffffffeu}, {1}, 0xffffffffu},
        OwnedSet{{0, 0x7fffffffu, 0x80000000u, 0xfffffffeu}, {3, 4}, 0xffffffffu}}) {
    EXPECT_TRUE(RoundTrips(RiceCodec(), set));
    EXPECT_TRUE(RoundTrips(Raw32Codec(), set));
  }
}

TEST(IndexCodec, UniformSetsAreNearTheirEntropy) {
  const OwnedSet percent = UniformSet(4'000'000, 0.01, 1);
  const OwnedSet permille = UniformSet(4'000'000, 0.001, 2);
  EXPECT_LE(BitsPerIndex(RiceCodec(), percent), 8.3) << "entropy 8.08";
  EXPECT_LE(BitsPerIndex(RiceCodec(), permille), 11.8) << "entropy 11.41";
  EXPECT_LE(BitsPerIndex(RiceBlocksCodec(), percent), 1.01 * BitsPerIndex(RiceCodec(), percent));
}

// From almost nothing to almost everything: within 5% and 64 bits of the entropy.
TEST(IndexCodec, AutoIsNearTheEntropyAtEveryDensity) {
  constexpr uint32_t kElements = 100'000;
  for (double density :
       {0.0,  1e-5, 1e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2,  0.25, 0.3,   0.35, 0.4,
        0.45, 0.5,  0.55, 0.6,   0.65,  0.7,  0.8,  0.9, 0.97, 0.99, 0.999, 1.0}) {
    const OwnedSet set = UniformSet(kElements, density, 3);
    const IndexFormat format = SmallestIndexFormat(set.indices.size(), kElements);
    const auto bytes = Encode(*IndexCodecOf(format), set);
    EXPECT_LE(8.0 * static_cast<double>(bytes.size()), 1.05 * Entropy(set) + 64)
        << "density " << density << ", " << IndexCodecOf(format)->name();
    EXPECT_TRUE(RoundTrips(*IndexCodecOf(format), set)) << density;
  }
}

TEST(IndexCodec, ClusteredSetsTakeNoMoreThanUniformOnes) {
  for (const auto& [patches, patch] :
       {std::pair{10u, 5'000u}, {100u, 200u}, {1'000u, 20u}, {1u, 30'000u}, {5'000u, 6u}}) {
    const OwnedSet clustered = ClusteredSet(3'000'000, patches, patch, 4);
    const double density = static_cast<double>(clustered.indices.size()) / clustered.elements;
    const OwnedSet uniform = UniformSet(3'000'000, density, 5);
    EXPECT_LE(BitsPerIndex(RiceCodec(), clustered), BitsPerIndex(RiceCodec(), uniform) + 0.05)
        << patches << " patches of " << patch;
  }
}

// One far outlier in each block, so that many codes escape.
TEST(IndexCodec, OutliersCostLittle) {
  OwnedSet set;
  uint32_t next = 0;
  for (uint32_t block = 0; block < 100; ++block) {
    next += 10'000'000;
    for (uint32_t i = 0; i < 256; ++i) set.indices.push_back(next++);
  }
  set.run_ends = {set.indices.size()};
  set.elements = next;
  EXPECT_TRUE(RoundTrips(RiceCodec(), set));
  EXPECT_LE(BitsPerIndex(RiceCodec(), set), 1.25);
}

// The bound holds where gaps are as unkind as they can be.
TEST(IndexCodec, UnkindGapsStayWithinTheBound) {
  for (uint32_t large : {100u, 1'000u, 60'000u, 1'000'000u}) {
    for (uint32_t every : {2u, 7u, 8u, 9u, 16u, 100u}) {
      OwnedSet set;
      uint32_t next = 0;
      for (uint32_t i = 0; i < 3'000 && next < 4'000'000'000u; ++i) {
        next += i % every == 0 ? large : 0;
        set.indices.push_back(next++);
      }
      set.run_ends = {set.indices.size()};
      set.elements = next;
      EXPECT_TRUE(RoundTrips(RiceCodec(), set)) << large << ", " << every;
    }
  }
}

// Gaps with heavy tails, which are the worst for a parameter that follows their mean.
TEST(IndexCodec, HeavyTailsStayWithinTheBound) {
  for (double scale : {2.0, 8.0, 30.0, 80.0}) {
    for (double exponent : {2.0, 2.6, 3.2, 4.0}) {
      OwnedSet set;
      uint64_t next = 0;
      for (uint32_t k = 0; k < 256; ++k) {
        const double u = ((97 * k) % 256 + 0.5) / 256;
        next += static_cast<uint64_t>(std::min(scale * (std::pow(u, -exponent) - 1), 4096 * scale));
        set.indices.push_back(static_cast<uint32_t>(next++));
      }
      set.run_ends = {set.indices.size()};
      set.elements = static_cast<uint32_t>(next);
      EXPECT_TRUE(RoundTrips(RiceCodec(), set)) << scale << ", " << exponent;
    }
  }
}

// Where at least 1560 bytes are left a block is decoded from whole words, otherwise
// byte by byte: both read the same, whatever the bytes are.
TEST(IndexCodec, FastAndCarefulDecodingAgree) {
  constexpr size_t kFast = 1560;
  int in_range = 0;
  for (int c = 0; c < Cases(40'000); ++c) {
    RandomBits bits(static_cast<uint64_t>(c));
    std::vector<std::byte> bytes(kFast + 64);
    BitWriter writer(bytes.data());
    writer.Put(bits.Below(64), 6);  // parameter and kind
    while (writer.bytes() < kFast) {
      // Noise, or codes that are as long as they can be.
      if (c % 2 == 0) {
        writer.Put(bits() & 0xffffffffu, 32);
      } else {
        const auto zeros = static_cast<unsigned>(bits.Below(18));
        writer.Put(uint64_t{1} << zeros, zeros + 1);
        writer.Put(bits() & 0xffffu, 16);
      }
    }
    IndexCursor fast;
    fast.bytes = std::span(bytes).first(kFast);
    fast.elements = 0xffffffffu;
    IndexCursor careful = fast;
    careful.bytes = fast.bytes.first(kFast - 1);
    uint32_t by_fast[kBlockEntries], by_careful[kBlockEntries];
    const bool good = RiceCodec().Next(&fast, kBlockEntries, by_fast);
    ASSERT_EQ(RiceCodec().Next(&careful, kBlockEntries, by_careful), good) << c;
    ASSERT_EQ(fast.bit, careful.bit) << c;
    ASSERT_EQ(fast.last, careful.last) << c;
    ASSERT_TRUE(std::ranges::equal(by_fast, by_careful)) << c;
    in_range += good;
  }
  EXPECT_GT(in_range, 0);
}

// Whatever the bytes are, what is read is ascending and below the number of elements.
TEST(IndexCodec, NoiseIsRefusedOrSafe) {
  int accepted = 0;
  for (int c = 0; c < Cases(200'000); ++c) {
    RandomBits bits(static_cast<uint64_t>(c));
    const OwnedSet like =
        UniformSet(1 + static_cast<uint32_t>(bits.Below(c % 16 == 0 ? 8'000 : 900)),
                   0.01 * static_cast<double>(bits.Below(100)), static_cast<uint64_t>(c));
    for (const IndexCodec* codec : AllCodecs()) {
      std::vector<std::byte> bytes = Encode(*codec, like);
      for (uint64_t n = bits.Below(4); n > 0 && !bytes.empty(); --n) {
        bytes[bits.Below(bytes.size())] ^= static_cast<std::byte>(1u << bits.Below(8));
      }
      if (bits.Below(4) == 0) bytes.resize(bits.Below(bytes.size() + 3));
      bool whole = false;
      const std::vector<uint32_t> indices = ReadSet(*codec, like, bytes, &whole);
      int64_t last = -1;
      for (uint32_t index : indices) {
        ASSERT_GT(int64_t{index}, last) << codec->name() << ", case " << c;
        ASSERT_LT(index, like.elements) << codec->name() << ", case " << c;
        last = index;
      }
      accepted += whole && indices.size() == like.indices.size();
    }
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace cddp
