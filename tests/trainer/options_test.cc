#include "trainer/options.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cddp/status.h"
#include "trainer/nearest_name.h"
#include "trainer/schedule.h"

namespace cddp {
namespace {

TEST(Options, AutoBecomesWhatItStandsFor) {
  TrainOptions dense;
  Resolve(dense);
  EXPECT_EQ(dense.collective, "dense");
  TrainOptions sparse{.compress = true, .no_error_feedback = true};
  Resolve(sparse);
  EXPECT_EQ(sparse.collective, "auto") << "is decided when the workers have met";
  EXPECT_EQ(sparse.memory, "none");
}

TEST(Options, WorkersAgreeOnWhatIsComputedNotOnPlaces) {
  TrainOptions options;
  Resolve(options);
  const auto agreed = AgreedConfiguration(options);
  for (const char* flag :
       {"--ratio", "--seed", "--lr", "--batch-size", "--bucket-mb", "--memory"}) {
    EXPECT_TRUE(agreed.contains(flag)) << flag;
  }
  EXPECT_FALSE(agreed.contains("--data-dir"));
  EXPECT_FALSE(agreed.contains("--log-dir"));
}

TEST(Options, AutoMemoryFollowsTheOptimisersMomentum) {
  TrainOptions with{.compress = true};
  Resolve(with);
  EXPECT_EQ(with.memory, "dgc");
  TrainOptions without{.momentum = 0.0, .compress = true};
  Resolve(without);
  EXPECT_EQ(without.memory, "residual");
}

TEST(Options, AutoMaskingFollowsTheRatio) {
  TrainOptions large{.compress = true, .ratio = 0.01};
  Resolve(large);
  EXPECT_EQ(large.momentum_masking, "off");
  TrainOptions small{.compress = true, .ratio = 0.001};
  Resolve(small);
  EXPECT_EQ(small.momentum_masking, "on");
  TrainOptions residual{.compress = true, .ratio = 0.001, .memory = "residual"};
  Resolve(residual);
  EXPECT_EQ(residual.momentum_masking, "off");
  residual.momentum_masking = "on";
  EXPECT_THROW(Resolve(residual), StatusError);
}

TEST(Options, WhatDoesNotFitTogetherIsRefused) {
  TrainOptions clip{.momentum = 0.0, .compress = true, .clip_norm = 1.0};
  EXPECT_THROW(Resolve(clip), StatusError);
  TrainOptions dense{.clip_norm = 1.0};
  EXPECT_THROW(Resolve(dense), StatusError);
  TrainOptions nesterov{.momentum = 0.0, .nesterov = true};
  EXPECT_THROW(Resolve(nesterov), StatusError);
  TrainOptions momentum{.momentum = 1.0, .compress = true, .memory = "dgc"};
  EXPECT_THROW(Resolve(momentum), StatusError);
  TrainOptions warmup{.epochs = 3, .compress = true, .warmup_epochs = 4};
  EXPECT_THROW(Resolve(warmup), StatusError);
}

TEST(Options, AutoAugmentationIsThatOfTheDataSet) {
  for (const auto& [dataset, augment] :
       {std::pair{"mnist", "none"}, {"cifar10", "crop-flip"}, {"text", "none"}}) {
    TrainOptions options{.dataset = dataset};
    ResolveData(options);
    EXPECT_EQ(options.augment, augment) << dataset;
  }
  TrainOptions asked{.dataset = "cifar10", .augment = "none"};
  ResolveData(asked);
  EXPECT_EQ(asked.augment, "none");
}

TEST(Options, WhatIsOfTextOrOfImagesIsRefusedForTheOther) {
  for (TrainOptions options :
       {TrainOptions{.text_file = "a.txt"}, TrainOptions{.tokens = "chars"},
        TrainOptions{.context = 64}, TrainOptions{.dataset = "text", .augment = "crop-flip"},
        TrainOptions{.dataset = "text", .tokens = "words"},
        TrainOptions{.dataset = "text", .context = 0}}) {
    EXPECT_THROW(ResolveData(options), StatusError);
  }
  TrainOptions classifier{.dataset = "text"};
  EXPECT_THROW(Resolve(classifier), StatusError);
}

TEST(Options, NotANumberIsOutOfRange) {
  TrainOptions options{.lr = std::nan("")};
  EXPECT_THROW(Resolve(options), StatusError);
}

TEST(NearestName, FindsTyposAndNothingElse) {
  EXPECT_EQ(NearestName("mnits", {"mnist", "fashion-mnist"}), "mnist");
  EXPECT_EQ(NearestName("--ratoi", {"--ratio", "--rounds"}), "--ratio");
  EXPECT_EQ(NearestName("xyzzy", {"mnist", "fashion-mnist"}), "");
}

TEST(Schedule, WarmUpFallsByEqualFactors) {
  EXPECT_NEAR(WarmUpRatio(0.001, 1, 4), 0.2512, 1e-4);
  EXPECT_NEAR(WarmUpRatio(0.001, 4, 4), 0.00398, 1e-5);
  EXPECT_EQ(WarmUpRatio(0.001, 5, 4), 0.001);
  EXPECT_EQ(WarmUpRatio(0.01, 1, 0), 0.01);
}

TEST(Schedule, CosineFallsFromOneToZero) {
  EXPECT_EQ(ScheduleFactor("constant", 99, 100), 1.0);
  EXPECT_EQ(ScheduleFactor("cosine", 0, 100), 1.0);
  EXPECT_NEAR(ScheduleFactor("cosine", 50, 100), 0.5, 1e-12);
  EXPECT_NEAR(ScheduleFactor("cosine", 100, 100), 0.0, 1e-12);
}

}  // namespace
}  // namespace cddp
