#include "trainer/progress.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

const ProgressLine kLine{.title = "epoch 1/3  20%",
                         .share = 0.2,
                         .count = "183/938",
                         .details = "loss 0.5556, acc 81.40%, 5021 images/s, 16.9 kB/step",
                         .left = "0:11 left"};

TEST(Progress, HasABarWhereThereIsRoom) {
  EXPECT_EQ(Fit(kLine, 200),
            "epoch 1/3  20% [====                ] 183/938 loss 0.5556, acc 81.40%, 5021 "
            "images/s, 16.9 kB/step 0:11 left");
}

TEST(Progress, TheTimeLeftIsCutLast) {
  const std::string whole = Fit(kLine, 200);
  for (size_t columns = 1; columns <= whole.size(); ++columns) {
    const std::string line = Fit(kLine, columns);
    ASSERT_LE(line.size(), columns);
    if (columns < 33) continue;
    ASSERT_TRUE(line.starts_with("epoch 1/3  20% ")) << line;
    ASSERT_TRUE(line.ends_with(" 0:11 left")) << line;
  }
  EXPECT_EQ(Fit(kLine, 80),
            "epoch 1/3  20% 183/938 loss 0.5556, acc 81.40%, 5021 images/s 0:11 left");
  EXPECT_EQ(Fit(kLine, 50), "epoch 1/3  20% 183/938 loss 0.5556 0:11 left");
  EXPECT_EQ(Fit(kLine, 40), "epoch 1/3  20% 183/938 0:11 left");
}

TEST(Progress, Formats) {
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(12'345'678), "12.3 MB");
  EXPECT_EQ(FormatRate(1234.5, false), "1234 images/s");
  EXPECT_EQ(FormatDuration(75.2), "1:15");
  EXPECT_EQ(FormatDuration(3661), "1:01:01");
}

}  // namespace
}  // namespace cddp
