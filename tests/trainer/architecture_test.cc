#include "trainer/architecture.h"

#include <gtest/gtest.h>

#include "cddp/status.h"
#include "trainer/options.h"

namespace cddp {
namespace {

// What is refused; empty when nothing is.
std::string ArchitectureRefusal(const std::string& model, Architecture architecture) {
  try {
    ResolveArchitecture(model, architecture);
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(Architecture, EachModelHasItsDefaults) {
  Architecture resnet;
  ResolveArchitecture("resnet50", resnet);
  EXPECT_EQ(resnet.stem, "cifar");
  EXPECT_EQ(resnet.layers, 0);

  Architecture transformer{.layers = 6};
  ResolveArchitecture("transformer", transformer);
  EXPECT_EQ(transformer.layers, 6);
  EXPECT_EQ(transformer.heads, 4);
  EXPECT_EQ(transformer.width, 128);
  EXPECT_EQ(transformer.stem, "");
}

TEST(Architecture, WhatIsResolvedStaysAsItIs) {
  for (const std::string& model : ModelNames()) {
    Architecture once;
    ResolveArchitecture(model, once);
    Architecture twice = once;
    ResolveArchitecture(model, twice);
    EXPECT_EQ(twice.stem, once.stem) << model;
    EXPECT_EQ(twice.width, once.width) << model;
  }
}

TEST(Architecture, ChoicesOfOtherModelsAreRefusedByFlag) {
  EXPECT_EQ(ArchitectureRefusal("simple_cnn", {.stem = "cifar"}),
            "--stem is of --model resnet18, resnet50, the model is simple_cnn: leave it out");
  const std::vector<std::pair<Architecture, std::string>> of_transformer = {
      {{.layers = 4}, "--layers"}, {{.heads = 4}, "--heads"}, {{.width = 128}, "--width"}};
  for (const auto& [architecture, flag] : of_transformer) {
    for (const char* model : {"simple_cnn", "resnet8", "resnet18", "resnet50"}) {
      EXPECT_TRUE(ArchitectureRefusal(model, architecture).starts_with(flag))
          << model << " " << flag;
    }
    EXPECT_EQ(ArchitectureRefusal("transformer", architecture), "");
  }
  for (const char* model : {"resnet8", "resnet18", "resnet50"}) {
    EXPECT_EQ(ArchitectureRefusal(model, {.channels_last = true}), "") << model;
  }
  for (const char* model : {"simple_cnn", "transformer"}) {
    EXPECT_TRUE(ArchitectureRefusal(model, {.channels_last = true}).starts_with("--channels-last"))
        << model;
  }
  EXPECT_TRUE(ArchitectureRefusal("resnet8", {.stem = "imagenet"}).starts_with("--stem"));
}

TEST(Architecture, SizesOutOfRangeAreRefusedByFlag) {
  EXPECT_NE(ArchitectureRefusal("resnet18", {.stem = "imagnet"}).find("did you mean \"imagenet\"?"),
            std::string::npos);
  EXPECT_EQ(ArchitectureRefusal("transformer", {.heads = 3}),
            "--width must be a multiple of --heads: 128 is none of 3");
  EXPECT_EQ(ArchitectureRefusal("transformer", {.layers = -1}),
            "--layers must be from 1 to 1000, got -1");
  EXPECT_NE(ArchitectureRefusal("resnet81", {}).find("did you mean \"resnet8\"?"),
            std::string::npos);
}

TEST(Architecture, WorkersAgreeOnIt) {
  TrainOptions options{.model = "transformer", .architecture = {.width = 64}, .dataset = "text"};
  Resolve(options);
  const auto agreed = AgreedConfiguration(options);
  EXPECT_EQ(agreed.at("--width"), "64");
  EXPECT_EQ(agreed.at("--layers"), "4");
  EXPECT_EQ(agreed.at("--channels-last"), "false");
  EXPECT_TRUE(agreed.contains("--stem"));
}

TEST(Architecture, ImagesAndTextHaveModelsOfTheirOwn) {
  for (const std::string& model : ModelNames()) {
    TrainOptions images{.model = model};
    TrainOptions text{.model = model, .dataset = "text"};
    EXPECT_NO_THROW(Resolve(IsLanguageModel(model) ? text : images)) << model;
    EXPECT_THROW(Resolve(IsLanguageModel(model) ? images : text), StatusError) << model;
  }
}

}  // namespace
}  // namespace cddp
