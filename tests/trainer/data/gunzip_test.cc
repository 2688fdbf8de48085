#include "trainer/data/gunzip.h"

#include <gtest/gtest.h>

#include <cstddef>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"

namespace cddp {
namespace {

TEST(GunzipTest, RoundTripsUpToExactlyTheBound) {
  for (const size_t size : {0, 1, 1000, 262144, 262145, 3000000}) {
    const Bytes bytes = Ramp(size);
    EXPECT_EQ(Gunzip(Gzip(bytes), size, "x"), bytes) << size;
  }
}

TEST(GunzipTest, RefusesMoreThanTheBound) {
  const Bytes bomb = Gzip(Bytes(20'000'000, 0));
  ASSERT_LT(bomb.size(), 50'000u);
  ExpectRefusal([&] { Gunzip(bomb, 1000, "bomb"); }, StatusCode::kCorrupt,
                {"bomb", "more than 1000 bytes"});
  ExpectRefusal([&] { Gunzip(Gzip(Ramp(1001)), 1000, "x"); }, StatusCode::kCorrupt, {"more than"});
}

TEST(GunzipTest, RefusesEveryTruncation) {
  const Bytes whole = Gzip(Ramp(300));
  for (size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ExpectRefusal([&] { Gunzip(part, 300, "x"); }, StatusCode::kCorrupt,
                  {size < 2 ? "signature" : "cut short"});
  }
}

TEST(GunzipTest, RefusesGarbageDamageAndAppendedBytes) {
  ExpectRefusal([] { Gunzip(Ramp(100), 1000, "x"); }, StatusCode::kCorrupt, {"signature"});
  ExpectRefusal(
      [] {
        Gunzip({{0x1f, 0x8b, 0xff, 0xff, 0xff, 0xff}}, 1000, "x");
      },
      StatusCode::kCorrupt, {"x: not usable"});
  Bytes damaged = Gzip(Ramp(300));
  damaged[damaged.size() - 6] ^= 1;  // in the checksum
  ExpectRefusal([&] { Gunzip(damaged, 300, "x"); }, StatusCode::kCorrupt, {"incorrect data check"});
  Bytes twice = Gzip(Ramp(10));
  const Bytes second = Gzip(Ramp(10));
  twice.insert(twice.end(), second.begin(), second.end());
  ExpectRefusal([&] { Gunzip(twice, 1000, "x"); }, StatusCode::kCorrupt, {"follow the end"});
}

}  // namespace
}  // namespace cddp
