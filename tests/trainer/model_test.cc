#include "trainer/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "cddp/status.h"
#include "trainer/shapes.h"

namespace cddp {
namespace {

ModelOptions Cifar(const std::string& name) {
  return {.name = name, .channels = 3, .rows = 32, .cols = 32, .classes = 10};
}

ModelOptions ImageNet(const std::string& name) {
  return {.name = name,
          .architecture = {.stem = "imagenet"},
          .channels = 3,
          .rows = 224,
          .cols = 224,
          .classes = 1000};
}

constexpr int64_t kVocabulary = 11;

ModelOptions SmallTransformer() {
  return {.name = "transformer",
          .architecture = {.layers = 2, .heads = 2, .width = 16},
          .context = 8,
          .classes = kVocabulary};
}

std::shared_ptr<Model> Make(const ModelOptions& options, uint64_t seed = 1) {
  torch::manual_seed(seed);
  return MakeModel(options);
}

// What each model is tried with: as small as tests want it.
std::vector<ModelOptions> EveryModel() {
  std::vector<ModelOptions> models{ModelOptions(), SmallTransformer()};
  for (const char* name : {"simple_cnn", "resnet8", "resnet18", "resnet50"}) {
    models.push_back(Cifar(name));
  }
  return models;
}

at::Tensor InputOf(const ModelOptions& options, int64_t batch) {
  return IsLanguageModel(options.name)
             ? torch::randint(options.classes, {batch, options.context}, torch::kLong)
             : torch::randn({batch, options.channels, options.rows, options.cols});
}

TEST(Model, EveryNameIsTried) {
  std::map<std::string, int> tried;
  for (const ModelOptions& options : EveryModel()) ++tried[options.name];
  for (const std::string& name : ModelNames()) EXPECT_GE(tried[name], 1) << name;
}

TEST(Model, ParametersAreAsManyAsPublished) {
  EXPECT_EQ(CountParameters(*Make({})), 421'642);
  EXPECT_EQ(CountParameters(*Make(Cifar("simple_cnn"))), 545'098);
  EXPECT_EQ(CountParameters(*Make(Cifar("resnet8"))), 309'738);
  EXPECT_EQ(CountParameters(*Make(Cifar("resnet18"))), 11'173'962);
  EXPECT_EQ(CountParameters(*Make(Cifar("resnet50"))), 23'520'842);
  EXPECT_EQ(CountParameters(*Make(ImageNet("resnet18"))), 11'689'512);
  EXPECT_EQ(CountParameters(*Make(ImageNet("resnet50"))), 25'557'032);
}

TEST(Model, ParametersAreThoseThatTheBenchmarksSynchronise) {
  const std::vector<std::pair<std::string, ModelOptions>> models = {
      {"simple_cnn", {}},
      {"resnet18", ImageNet("resnet18")},
      {"resnet50", ImageNet("resnet50")},
      {"transformer124m",
       {.name = "transformer",
        .architecture = {.layers = 12, .heads = 12, .width = 768},
        .context = 1024,
        .classes = 50'257}}};
  for (const auto& [name, options] : models) {
    std::vector<ParameterShape> shapes;
    for (const auto& parameter : Make(options)->named_parameters()) {
      shapes.push_back({parameter.key(), parameter.value().sizes().vec()});
    }
    EXPECT_EQ(ShapesText(shapes), ShapesText(ShapesOf(name))) << name;
  }
}

TEST(Model, LogitsAreOnePerClassOfEachPrediction) {
  for (const ModelOptions& options : EveryModel()) {
    const at::Tensor input = InputOf(options, 3);
    const at::Tensor logits = Make(options)->forward(input);
    std::vector<int64_t> expected{3};
    if (IsLanguageModel(options.name)) expected.push_back(input.size(1));
    expected.push_back(options.classes);
    EXPECT_EQ(logits.sizes().vec(), expected) << options.name;
  }
}

TEST(Model, EveryParameterGetsAGradient) {
  for (const ModelOptions& options : EveryModel()) {
    const auto model = Make(options);
    const at::Tensor logits = model->forward(InputOf(options, 4));
    std::vector<int64_t> sizes = logits.sizes().vec();
    sizes.pop_back();
    CrossEntropySum(logits, torch::randint(options.classes, sizes, torch::kLong)).backward();
    for (const auto& parameter : model->named_parameters()) {
      const at::Tensor& gradient = parameter.value().grad();
      ASSERT_TRUE(gradient.defined()) << options.name << " " << parameter.key();
      EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << options.name << " " << parameter.key();
      EXPECT_TRUE(gradient.ne(0).any().item<bool>()) << options.name << " " << parameter.key();
    }
  }
}

TEST(Model, TheSeedDecidesAllWeightsAndGradients) {
  for (const ModelOptions& options : EveryModel()) {
    const auto run = [&](uint64_t seed) {
      const auto model = Make(options, seed);
      torch::manual_seed(7);  // of input and dropout
      model->forward(InputOf(options, 2)).square().sum().backward();
      std::vector<at::Tensor> tensors;
      for (const at::Tensor& parameter : model->parameters()) {
        tensors.push_back(parameter.detach());
        tensors.push_back(parameter.grad());
      }
      return tensors;
    };
    const auto first = run(1), again = run(1), other = run(2);
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(torch::equal(first[i], again[i])) << options.name << ", tensor " << i;
    }
    EXPECT_FALSE(torch::equal(first[0], other[0])) << options.name;
  }
}

TEST(Model, ResidualNetsBeginAsHeAndOthersSay) {
  for (const char* name : {"resnet8", "resnet18", "resnet50"}) {
    for (const auto& [key, value] : Make(Cifar(name))->named_parameters().pairs()) {
      if (value.dim() == 4) {
        const double fan_out = static_cast<double>(value.numel() / value.size(1));
        const double wanted = std::sqrt(2.0 / fan_out);
        const double tolerance = 5.0 / std::sqrt(2.0 * static_cast<double>(value.numel()));
        EXPECT_NEAR(value.std().item<double>() / wanted, 1.0, tolerance) << name << " " << key;
      } else if (value.dim() == 1 && !key.starts_with("fc")) {
        EXPECT_TRUE(value.eq(key.ends_with("weight") ? 1 : 0).all().item<bool>()) << key;
      }
    }
  }
}

TEST(Model, BuffersAreTorchvisions) {
  const auto model = Make(Cifar("resnet18"));
  const auto buffers = model->named_buffers();
  ASSERT_EQ(buffers.size(), 3u * 20);
  EXPECT_EQ(buffers[0].key(), "bn1.running_mean");
  EXPECT_EQ(buffers[1].key(), "bn1.running_var");
  EXPECT_EQ(buffers[2].key(), "bn1.num_batches_tracked");
  EXPECT_EQ(buffers[3].key(), "layer1.0.bn1.running_mean");
  EXPECT_TRUE(buffers.contains("layer2.0.downsample.1.num_batches_tracked"));
  model->forward(torch::randn({2, 3, 32, 32}));
  EXPECT_EQ(model->named_buffers()["bn1.num_batches_tracked"].item<int64_t>(), 1);
}

TEST(Model, ChannelsLastChangesOnlyTheSpeed) {
  for (const char* name : {"resnet8", "resnet18", "resnet50"}) {
    ModelOptions options = Cifar(name);
    const at::Tensor images = torch::randn({2, 3, 32, 32});
    const auto usual = Make(options);
    options.architecture.channels_last = true;
    const auto last = Make(options);
    const auto parameters = last->named_parameters();
    for (const auto& item : usual->named_parameters()) {
      const at::Tensor& parameter = parameters[item.key()];
      EXPECT_TRUE(torch::equal(parameter, item.value())) << name << " " << item.key();
      if (parameter.dim() == 4) {
        const at::Tensor like = torch::empty_like(parameter, at::MemoryFormat::ChannelsLast);
        EXPECT_EQ(parameter.strides(), like.strides()) << item.key();
      }
    }
    usual->eval();
    last->eval();
    const at::Tensor expected = usual->forward(images);
    EXPECT_TRUE(torch::allclose(last->forward(images), expected, 1e-4, 1e-4)) << name;
  }
}

TEST(Model, ImagesTooSmallAreRefused) {
  EXPECT_THROW(MakeModel({.name = "simple_cnn", .rows = 3}), StatusError);
  EXPECT_THROW(MakeModel({.name = "simple_cn"}), StatusError);
  EXPECT_THROW(MakeModel({.name = "resnet8", .architecture = {.layers = 2}}), StatusError);
}

TEST(Loss, IsSummedOverPredictions) {
  const at::Tensor logits = torch::randn({4, 5, 7});
  const at::Tensor targets = torch::randint(7, {4, 5}, torch::kLong);
  double loss = 0, correct = 0;
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      const int64_t target = targets[i][j].item<int64_t>();
      loss -= logits[i][j].log_softmax(0)[target].item<double>();
      correct += logits[i][j].argmax().item<int64_t>() == target;
    }
  }
  EXPECT_NEAR(CrossEntropySum(logits, targets).item<double>(), loss, 1e-3);
  EXPECT_EQ(CountCorrect(logits, targets).item<double>(), correct);
  EXPECT_EQ(CountCorrect(logits, targets.flatten()).item<double>(), correct);
}

TEST(Transformer, NoPositionSeesThoseBehindIt) {
  const auto model = Make(SmallTransformer());
  const int64_t context = SmallTransformer().context;
  const at::Tensor tokens = torch::randint(kVocabulary, {2, context}, torch::kLong);
  const at::Tensor before = model->forward(tokens);
  for (int64_t t = 0; t < context; ++t) {
    at::Tensor changed = tokens.clone();
    changed.select(1, t).add_(1).remainder_(kVocabulary);
    const at::Tensor after = model->forward(changed);
    EXPECT_TRUE(torch::equal(after.slice(1, 0, t), before.slice(1, 0, t))) << t;
    for (int64_t later = t; later < context; ++later) {
      EXPECT_FALSE(torch::equal(after.select(1, later), before.select(1, later)))
          << "position " << later << " does not see token " << t;
    }
  }
}

TEST(Transformer, ShorterTextsGetTheSameLogitsAndLongerOnesAreRefused) {
  const auto model = Make(SmallTransformer());
  const at::Tensor tokens = torch::randint(kVocabulary, {1, 8}, torch::kLong);
  EXPECT_TRUE(torch::allclose(model->forward(tokens.slice(1, 0, 3)),
                              model->forward(tokens).slice(1, 0, 3), 1e-5, 1e-6));
  EXPECT_THROW(model->forward(torch::zeros({1, 9}, torch::kLong)), StatusError);
}

TEST(Transformer, TheHeadIsTheTokenEmbedding) {
  const auto model = Make(SmallTransformer());
  // Token 5 is nowhere in the input: only the head can use its embedding.
  const at::Tensor tokens = torch::zeros({1, 4}, torch::kLong);
  const at::Tensor before = model->forward(tokens);
  {
    const torch::NoGradGuard no_grad;
    model->named_parameters()["wte.weight"][5].mul_(2);
  }
  const at::Tensor after = model->forward(tokens);
  EXPECT_TRUE(torch::allclose(after.select(2, 5), 2 * before.select(2, 5)));
  EXPECT_TRUE(torch::equal(after.slice(2, 0, 5), before.slice(2, 0, 5)));
}

TEST(Transformer, BeginsAsGpt2) {
  constexpr int64_t kLayers = 8;
  const auto model = Make({.name = "transformer",
                           .architecture = {.layers = kLayers, .heads = 4, .width = 128},
                           .classes = 256});
  for (const auto& [key, value] : model->named_parameters().pairs()) {
    if (key.ends_with("bias")) {
      EXPECT_TRUE(value.eq(0).all().item<bool>()) << key;
    } else if (value.dim() == 1) {
      EXPECT_TRUE(value.eq(1).all().item<bool>()) << key;
    } else {
      const bool residual = key.ends_with("c_proj.weight");
      const double wanted = residual ? 0.02 / std::sqrt(2.0 * kLayers) : 0.02;
      EXPECT_NEAR(value.std().item<double>() / wanted, 1.0, 0.05) << key;
    }
  }
}

TEST(Transformer, LearnsToContinueASequence) {
  const auto model = Make(SmallTransformer());
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(1e-2));
  // Counting on from any start, modulo the vocabulary.
  const at::Tensor text =
      (torch::arange(kVocabulary).unsqueeze(1) + torch::arange(9)).remainder(kVocabulary);
  double loss = 0;
  for (int step = 0; step < 100; ++step) {
    optimizer.zero_grad();
    const at::Tensor sum =
        CrossEntropySum(model->forward(text.slice(1, 0, 8)), text.slice(1, 1, 9));
    sum.backward();
    optimizer.step();
    loss = sum.item<double>() / (8 * kVocabulary);
    if (step == 0) {
      EXPECT_NEAR(loss, std::log(kVocabulary), 0.1);
    }
  }
  EXPECT_LT(loss, 0.1);
}

}  // namespace
}  // namespace cddp
