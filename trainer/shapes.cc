#include "trainer/shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

using Shapes = std::vector<ParameterShape>;

constexpr uint64_t kFirstBucketBytes = 1 << 20;

void AddConvolution(Shapes* shapes, const std::string& name, int64_t out, int64_t in, int64_t k) {
  shapes->push_back({name + ".weight", {out, in, k, k}});
}

void AddNormalisation(Shapes* shapes, const std::string& name, int64_t channels) {
  shapes->push_back({name + ".weight", {channels}});
  shapes->push_back({name + ".bias", {channels}});
}

void AddLinear(Shapes* shapes, const std::string& name, int64_t out, int64_t in) {
  shapes->push_back({name + ".weight", {out, in}});
  shapes->push_back({name + ".bias", {out}});
}

// ResNet (He et al. 2016) as in torchvision, for ImageNet: `blocks` of each stage, with
// bottlenecks (ResNet-50) or without (ResNet-18).
Shapes ResNet(const std::vector<int>& blocks, bool bottleneck) {
  Shapes shapes;
  AddConvolution(&shapes, "conv1", 64, 3, 7);
  AddNormalisation(&shapes, "bn1", 64);
  const int64_t expansion = bottleneck ? 4 : 1;
  int64_t in = 64;
  for (size_t stage = 0; stage < blocks.size(); ++stage) {
    const int64_t width = 64 << stage;
    for (int block = 0; block < blocks[stage]; ++block) {
      const std::string name = fmt::format("layer{}.{}", stage + 1, block);
      if (bottleneck) {
        AddConvolution(&shapes, name + ".conv1", width, in, 1);
        AddNormalisation(&shapes, name + ".bn1", width);
        AddConvolution(&shapes, name + ".conv2", width, width, 3);
        AddNormalisation(&shapes, name + ".bn2", width);
        AddConvolution(&shapes, name + ".conv3", width * expansion, width, 1);
        AddNormalisation(&shapes, name + ".bn3", width * expansion);
      } else {
        AddConvolution(&shapes, name + ".conv1", width, in, 3);
        AddNormalisation(&shapes, name + ".bn1", width);
        AddConvolution(&shapes, name + ".conv2", width, width, 3);
        AddNormalisation(&shapes, name + ".bn2", width);
      }
      if (block == 0 && in != width * expansion) {
        AddConvolution(&shapes, name + ".downsample.0", width * expansion, in, 1);
        AddNormalisation(&shapes, name + ".downsample.1", width * expansion);
      }
      in = width * expansion;
    }
  }
  AddLinear(&shapes, "fc", 1000, in);
  return shapes;
}

// VGG-16 (Simonyan & Zisserman 2015), without normalisation.
Shapes Vgg16() {
  Shapes shapes;
  int64_t in = 3;
  int layer = 0;
  for (int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512}) {
    if (out == 0) {
      ++layer;  // pooling
      continue;
    }
    const std::string name = fmt::format("features.{}", layer);
    AddConvolution(&shapes, name, out, in, 3);
    shapes.push_back({name + ".bias", {out}});
    in = out;
    layer += 2;
  }
  AddLinear(&shapes, "classifier.0", 4096, 512 * 7 * 7);
  AddLinear(&shapes, "classifier.3", 4096, 4096);
  AddLinear(&shapes, "classifier.6", 1000, 4096);
  return shapes;
}

// A decoder-only Transformer of GPT-2's smallest size (Radford et al. 2019), head tied.
Shapes Transformer124M() {
  constexpr int64_t kWidth = 768;
  Shapes shapes{{"wte.weight", {50257, kWidth}}, {"wpe.weight", {1024, kWidth}}};
  for (int layer = 0; layer < 12; ++layer) {
    const std::string name = fmt::format("h.{}", layer);
    AddNormalisation(&shapes, name + ".ln_1", kWidth);
    AddLinear(&shapes, name + ".attn.c_attn", 3 * kWidth, kWidth);
    AddLinear(&shapes, name + ".attn.c_proj", kWidth, kWidth);
    AddNormalisation(&shapes, name + ".ln_2", kWidth);
    AddLinear(&shapes, name + ".mlp.c_fc", 4 * kWidth, kWidth);
    AddLinear(&shapes, name + ".mlp.c_proj", kWidth, 4 * kWidth);
  }
  AddNormalisation(&shapes, "ln_f", kWidth);
  return shapes;
}

// The program's own model for MNIST.
Shapes SimpleCnn() {
  Shapes shapes;
  AddConvolution(&shapes, "conv1", 32, 1, 3);
  shapes.push_back({"conv1.bias", {32}});
  AddConvolution(&shapes, "conv2", 64, 32, 3);
  shapes.push_back({"conv2.bias", {64}});
  AddLinear(&shapes, "fc1", 128, 3136);
  AddLinear(&shapes, "fc2", 10, 128);
  return shapes;
}

const std::map<std::string, std::function<Shapes()>>& KnownShapes() {
  static const std::map<std::string, std::function<Shapes()>> known = {
      {"simple_cnn", SimpleCnn},
      {"resnet18",
       [] {
         return ResNet({2, 2, 2, 2}, false);
       }},
      {"resnet50",
       [] {
         return ResNet({3, 4, 6, 3}, true);
       }},
      {"vgg16", Vgg16},
      {"transformer124m", Transformer124M}};
  return known;
}

Shapes ReadShapes(const std::string& path) {
  constexpr uint64_t kMostBytes = 16 << 20;
  const std::vector<uint8_t> bytes = ReadFileBytes(path, kMostBytes);
  std::istringstream file(std::string(bytes.begin(), bytes.end()));
  Shapes shapes;
  std::set<std::string> names;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const auto refuse = [&](const std::string& why) {
      throw StatusError(StatusCode::kCorrupt, fmt::format("{}, line {}: {}", path, number, why));
    };
    std::istringstream words(line.substr(0, line.find('#')));
    ParameterShape shape;
    if (!(words >> shape.name)) continue;
    double elements = 1;
    for (std::string word; words >> word;) {
      int64_t size = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
      if (error != std::errc() || end != word.data() + word.size() || size < 1) {
        refuse(fmt::format("sizes are whole numbers of at least 1, got \"{}\"", word));
      }
      shape.sizes.push_back(size);
      elements *= static_cast<double>(size);
    }
    if (shape.sizes.empty()) refuse(fmt::format("{} has no sizes", shape.name));
    if (elements > std::numeric_limits<uint32_t>::max() / 2) {
      refuse(fmt::format("{} has {:.0f} elements, at most 2^31 - 1 can be synchronised", shape.name,
                         elements));
    }
    if (!names.insert(shape.name).second) refuse(shape.name + " was there before");
    shapes.push_back(std::move(shape));
  }
  if (shapes.empty()) throw StatusError(StatusCode::kCorrupt, path + " has no parameters");
  return shapes;
}

}  // namespace

uint32_t ParameterShape::elements() const {
  int64_t product = 1;
  for (const int64_t size : sizes) product *= size;
  return static_cast<uint32_t>(product);
}

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const auto& [name, make] : KnownShapes()) names.push_back(name);
  return names;
}

std::vector<ParameterShape> ShapesOf(const std::string& name) {
  const auto known = KnownShapes().find(name);
  if (known != KnownShapes().end()) return known->second();
  if (std::filesystem::is_regular_file(name)) return ReadShapes(name);
  throw StatusError(StatusCode::kInvalidArgument,
                    UnknownName("shapes", name, ShapeNames()) + "; or a file of shapes");
}

std::string ShapesText(const std::vector<ParameterShape>& shapes) {
  std::string text;
  for (const ParameterShape& shape : shapes) {
    text += fmt::format("{} {}\n", shape.name, fmt::join(shape.sizes, " "));
  }
  return text;
}

std::vector<std::vector<BucketParameter>> BucketsOf(const std::vector<ParameterShape>& shapes,
                                                    uint64_t bucket_bytes) {
  std::vector<std::vector<BucketParameter>> buckets;
  uint64_t bytes = 0;
  bool full = true;
  for (auto shape = shapes.rbegin(); shape != shapes.rend(); ++shape) {
    if (full) buckets.emplace_back();
    if (full) bytes = 0;
    buckets.back().push_back(
        {shape->name, static_cast<uint32_t>(bytes / sizeof(float)), shape->elements()});
    bytes += sizeof(float) * uint64_t{shape->elements()};
    full =
        bytes >= (buckets.size() == 1 ? std::min(kFirstBucketBytes, bucket_bytes) : bucket_bytes);
  }
  return buckets;
}

}  // namespace cddp
