#include "trainer/data/idx.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"

namespace cddp {
namespace {

TEST(IdxTest, ParsesImagesAndLabels) {
  const IdxImages images = ParseIdxImages(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(24)), "x");
  EXPECT_EQ(images.count, 2u);
  EXPECT_EQ(images.rows, 3u);
  EXPECT_EQ(images.cols, 4u);
  EXPECT_EQ(images.pixels, Ramp(24));
  const IdxLabels labels = ParseIdxLabels(Idx({kIdxLabelsMagic, 3}, {7, 8, 9}), "x");
  EXPECT_EQ(labels.count, 3u);
  EXPECT_EQ(labels.labels, (Bytes{7, 8, 9}));
}

void ExpectImagesCorrupt(const Bytes& bytes, const std::vector<std::string>& fragments) {
  ExpectRefusal([&] { ParseIdxImages(bytes, "the-file"); }, StatusCode::kCorrupt, fragments);
}

TEST(IdxTest, RejectsWhatIsNotExactlyOneArray) {
  ExpectImagesCorrupt({}, {"the-file", "16 bytes", "has 0"});
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 2, 3}), {"16 bytes", "has 12"});
  ExpectImagesCorrupt(Idx({kIdxLabelsMagic, 2, 1, 1}, {1, 2}), {"0x00000803", "0x00000801"});
  // The same number, little endian.
  ExpectImagesCorrupt(Idx({0x03080000, 2, 1, 1}, {1, 2}), {"0x03080000"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(23)),
                      {"the-file", "cut short", "expected 40", "found 39"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(25)),
                      {"trailing", "expected 40", "found 41"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 0, 3, 4}, {}), {"size 0"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 0, 4}, {}), {"size 0"});
  ExpectRefusal(
      [] {
        ParseIdxLabels(Idx({kIdxImagesMagic, 1}, {1}), "l");
      },
      StatusCode::kCorrupt, {"0x00000801"});
  ExpectRefusal([] { ParseIdxLabels(Words({kIdxLabelsMagic}), "l"); }, StatusCode::kCorrupt,
                {"8 bytes", "has 4"});
}

TEST(IdxTest, RejectsSizesThatOverflow) {
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 0xffffffff, 0xffffffff, 0xffffffff}, Ramp(8)),
                      {"more than 4294967296"});
  // The product is 2^64, that is 0 where it wraps; then 2^64 + 2^32.
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 0x80000000, 0x80000000, 4}), {"more than"});
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 0x10000, 0x10000, 2}), {"more than"});
}

}  // namespace
}  // namespace cddp
