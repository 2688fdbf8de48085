#include "trainer/history.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(AddEpoch, MeansAreOverTheEpochs) {
  TrainingSummary summary;
  AddEpoch({.epoch = 1, .epoch_s = 2, .images_per_s = 300, .tx_bytes_per_step = 10}, &summary);
  AddEpoch({.epoch = 2,
            .test_loss = 0.5,
            .test_accuracy_percent = 90,
            .epoch_s = 4,
            .images_per_s = 150,
            .tx_bytes_per_step = 30,
            .void_steps = 1},
           &summary);
  EXPECT_EQ(summary.epochs, 2);
  EXPECT_EQ(summary.history.size(), 2u);
  EXPECT_EQ(summary.test_loss, 0.5);
  EXPECT_EQ(summary.test_accuracy_percent, 90);
  EXPECT_EQ(summary.void_steps, 1u);
  EXPECT_EQ(summary.epoch_s_mean, 3);
  EXPECT_EQ(summary.tx_bytes_per_step, 20);
  EXPECT_EQ(summary.images_per_s, 200) << "1200 samples in 6 s";
}

// The second epoch went on with other workers: of its 600 samples they have trained 150, in 1 s.
TEST(AddEpoch, ThroughputIsOfWhatWasTrained) {
  TrainingSummary summary;
  AddEpoch({.epoch = 1, .epoch_s = 4, .images_per_s = 150}, &summary);
  AddEpoch({.epoch = 2, .epoch_s = 1, .images_per_s = 150}, &summary);
  EXPECT_EQ(summary.images_per_s, 150);
}

}  // namespace
}  // namespace cddp
