#include "trainer/options.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "cddp/status.h"
#include "trainer/nearest_name.h"

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
  TrainOptions nesterov{.momentum = 0.0, .nesterov = true};
  EXPECT_THROW(Resolve(nesterov), StatusError);
  TrainOptions momentum{.momentum = 1.0, .compress = true, .memory = "dgc"};
  EXPECT_THROW(Resolve(momentum), StatusError);
  TrainOptions warmup{.epochs = 3, .compress = true, .warmup_epochs = 4};
  EXPECT_THROW(Resolve(warmup), StatusError);
  TrainOptions negative{.compress = true, .whole_limit = -1};
  EXPECT_THROW(Resolve(negative), StatusError);
  TrainOptions both{.compress = true, .warmup_epochs = 1, .warmup_steps = 9};
  EXPECT_THROW(Resolve(both), StatusError);
  TrainOptions backwards{.compress = true, .warmup_steps = -1};
  EXPECT_THROW(Resolve(backwards), StatusError);
}

TEST(Options, WhatIsOfCompressionIsRefusedWithoutIt) {
  for (const TrainOptions& options :
       {TrainOptions{.ratio = 0.1}, TrainOptions{.selector = "randomk"},
        TrainOptions{.memory = "residual"}, TrainOptions{.no_error_feedback = true},
        TrainOptions{.clip_norm = 1.0}, TrainOptions{.momentum_masking = "on"},
        TrainOptions{.momentum_masking = "off"}, TrainOptions{.warmup_epochs = 1},
        TrainOptions{.warmup_steps = 9}, TrainOptions{.whole_limit = 2048},
        TrainOptions{.adaptive_ratio = 5}, TrainOptions{.values = "bf16"},
        TrainOptions{.indices = "rice"}, TrainOptions{.owner_budget = 2}}) {
    TrainOptions dense = options;
    EXPECT_THROW(Resolve(dense), StatusError);
  }
  TrainOptions twice{.compress = true, .memory = "dgc", .no_error_feedback = true};
  EXPECT_THROW(Resolve(twice), StatusError);
}

// As from the config.yaml that a run leaves.
TEST(Options, WhatIsResolvedCanBeResolvedAgain) {
  for (const bool compress : {false, true}) {
    TrainOptions options{.compress = compress, .no_error_feedback = compress};
    Resolve(options);
    EXPECT_NO_THROW(Resolve(options));
  }
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

// The flag that is refused.
std::string Refused(const std::function<void(TrainOptions&)>& change) {
  TrainOptions options;
  change(options);
  try {
    Resolve(options);
  } catch (const StatusError& error) {
    return error.what();
  }
  return "nothing";
}

TEST(Options, OptimisersHaveFlagsOfTheirOwn) {
  const auto refused = [](const char* optimizer, auto member, auto value) {
    return Refused([&](TrainOptions& o) {
      o.optimizer = optimizer;
      o.*member = value;
    });
  };
  using O = TrainOptions;
  EXPECT_EQ(refused("adamw", &O::momentum, 0.5), "--momentum is of sgd and lars, not of adamw");
  EXPECT_EQ(refused("lars", &O::nesterov, true), "--nesterov is of sgd, not of lars");
  EXPECT_EQ(refused("sgd", &O::eps, 1e-6), "--eps is of adam and adamw, not of sgd");
  EXPECT_EQ(refused("sgd", &O::trust_coefficient, 0.01),
            "--trust-coefficient is of lars, not of sgd");
  EXPECT_EQ(refused("lars", &O::momentum, 0.5), "nothing");
  EXPECT_EQ(refused("adam", &O::eps, 1e-6), "nothing");
  EXPECT_EQ(refused("adam", &O::betas, std::vector{0.9, 1.0}), "--betas must be in [0, 1), got 1");
}

TEST(Options, OnlySgdKeepsItsMomentumInTheMemory) {
  for (const char* optimizer : {"adam", "adamw", "lars"}) {
    TrainOptions options{.optimizer = optimizer, .compress = true};
    Resolve(options);
    EXPECT_EQ(options.memory, "residual") << optimizer;
    options.memory = "dgc";
    EXPECT_THROW(Resolve(options), StatusError) << optimizer;
  }
}

TEST(Options, MilestonesAscend) {
  const auto refused = [](std::vector<int> milestones) {
    return Refused([&](TrainOptions& o) {
      o.schedule = "multistep";
      o.milestones = std::move(milestones);
    });
  };
  EXPECT_EQ(refused({5, 8}), "nothing");
  EXPECT_EQ(refused({8, 5}), "--milestones must ascend, got 8 before 5");
  EXPECT_EQ(refused({5, 5}), "--milestones must ascend, got 5 before 5");
  EXPECT_EQ(refused({0, 5}), "--milestones are epochs from 1 on, got 0");
  EXPECT_EQ(refused({}), "--schedule multistep needs --milestones, such as 5,8");
}

TEST(Options, HalfPrecisionNeedsAGpu) {
  EXPECT_NE(Refused([](TrainOptions& o) { o.amp = "fp16"; }).find("--amp bf16"), std::string::npos);
  EXPECT_EQ(Refused([](TrainOptions& o) { o.amp = "bf16"; }), "nothing");
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

}  // namespace
}  // namespace cddp
