// The catalog, loading and verifying.
#include "trainer/data/dataset.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/catalog.h"
#include "trainer/data/cifar10.h"
#include "trainer/data/sha256.h"
#include "trainer/data/sources.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

TEST(CatalogTest, KnowsTheDatasets) {
  EXPECT_EQ(DatasetNames(),
            (std::vector<std::string>{"mnist", "fashion-mnist", "cifar10", "text"}));
  EXPECT_EQ(FindDataset("cifar"), nullptr);
  ExpectRefusal([] { RequireDataset("cifar"); }, StatusCode::kInvalidArgument,
                {"cifar", "mnist, fashion-mnist", "did you mean \"cifar10\"?"});
  for (const std::string& name : DatasetNames()) {
    const DatasetInfo& info = RequireDataset(name);
    EXPECT_FALSE(DefaultSources(info).empty());
    for (const DataFile& file : info.files) EXPECT_EQ(file.sha256.size(), 64u);
    EXPECT_EQ(info.mean.size(), info.std.size());
  }
  for (const char* name : {"mnist", "fashion-mnist"}) {
    EXPECT_EQ(RequireDataset(name).files[0].bytes, 47040016u);
    EXPECT_EQ(RequireDataset(name).files[3].bytes, 10008u);
  }
  const DatasetInfo& cifar10 = RequireDataset("cifar10");
  EXPECT_EQ(cifar10.files.size(), 6u);
  EXPECT_EQ(cifar10.bytes(), (cifar10.train_count + cifar10.test_count) * kCifar10RecordBytes);
}

TEST(DatasetTest, LoadsWhatTheFilesHold) {
  const SmallDataset data;
  TemporaryFolder folder;
  data.WriteTo(folder.path() / "small");
  const ImageSplits splits = LoadImages(data.info, folder.path());
  EXPECT_EQ(splits.train.count, 3u);
  EXPECT_EQ(splits.train.channels, 1u);
  EXPECT_EQ(splits.train.rows, 4u);
  EXPECT_EQ(splits.train.cols, 5u);
  EXPECT_EQ(splits.train.pixels, Ramp(60));
  EXPECT_EQ(splits.train.labels, (Bytes{0, 9, 3}));
  EXPECT_EQ(splits.train.classes, 10);
  EXPECT_EQ(splits.train.mean, std::vector<float>{0.25f});
  EXPECT_EQ(splits.train.std, std::vector<float>{0.5f});
  EXPECT_EQ(splits.test.count, 2u);
  EXPECT_EQ(splits.test.labels, (Bytes{1, 2}));

  const SmallDataset other({0, 9, 4});
  other.WriteTo(folder.path() / "small");
  EXPECT_NE(LoadImages(other.info, folder.path()).sha256, splits.sha256);
}

TEST(DatasetTest, RejectsMissingAlteredAndShortFiles) {
  const SmallDataset data;
  TemporaryFolder folder;
  const auto load = [&] { LoadImages(data.info, folder.path()); };
  ExpectRefusal(load, StatusCode::kUnavailable, {"train-images is missing", "data fetch small"});
  data.WriteTo(folder.path() / "small");
  Bytes altered = data.files[3];
  altered.back() ^= 1;
  WriteRaw(folder.path() / "small" / "test-labels", altered);
  ExpectRefusal(load, StatusCode::kCorrupt,
                {"test-labels", data.info.files[3].sha256, Sha256Hex(altered)});
  altered.pop_back();
  WriteRaw(folder.path() / "small" / "test-labels", altered);
  ExpectRefusal(load, StatusCode::kCorrupt, {"expected 10 bytes, found 9"});
  // Sparse: nothing but its size is ever looked at.
  fs::resize_file(folder.path() / "small" / "test-labels", uintmax_t{1} << 40);
  ExpectRefusal(load, StatusCode::kCorrupt, {"expected 10 bytes, found 1099511627776"});
}

TEST(DatasetTest, RejectsCountsLabelsAndShapesThatDoNotFit) {
  TemporaryFolder folder;
  const auto load = [&](const SmallDataset& data) {
    data.WriteTo(folder.path() / "small");
    LoadImages(data.info, folder.path());
  };
  ExpectRefusal(
      [&] {
        load(SmallDataset({1, 2}));
      },
      StatusCode::kCorrupt, {"3 images", "2 labels", "train-images", "train-labels"});
  ExpectRefusal(
      [&] {
        load(SmallDataset({1, 10, 2}));
      },
      StatusCode::kCorrupt, {"train-labels", "label 10 at position 1", "0 to 9"});
  SmallDataset shapes;
  shapes.files[2] = Idx({kIdxImagesMagic, 2, 5, 4}, Ramp(40));
  shapes.Describe();
  ExpectRefusal([&] { load(shapes); }, StatusCode::kCorrupt, {"4x5", "5x4"});
}

TEST(VerifyTest, TellsTheStatesApart) {
  const SmallDataset data;
  TemporaryFolder folder;
  const fs::path at = folder.path() / "small";
  for (const FileReport& report : VerifyDataset(data.info, folder.path())) {
    EXPECT_EQ(report.state, FileState::kMissing);
  }
  data.WriteTo(at);
  WriteRaw(at / "train-labels", Bytes(data.files[1].size(), 0));
  WriteRaw(at / "test-images", Ramp(5));
  fs::remove(at / "test-labels");
  std::vector<FileReport> reports = VerifyDataset(data.info, folder.path());
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[0].state, FileState::kOk);
  EXPECT_EQ(reports[0].name, "train-images");
  EXPECT_EQ(reports[0].path, at / "train-images");
  EXPECT_EQ(reports[0].bytes, data.files[0].size());
  EXPECT_EQ(reports[0].sha256, data.info.files[0].sha256);
  EXPECT_EQ(reports[1].state, FileState::kAltered);
  EXPECT_EQ(reports[1].sha256, Sha256Hex(Bytes(data.files[1].size(), 0)));
  EXPECT_EQ(reports[2].state, FileState::kWrongSize);
  EXPECT_EQ(reports[2].bytes, 5u);
  EXPECT_EQ(reports[3].state, FileState::kMissing);
  fs::create_directory(at / "test-labels");
  EXPECT_EQ(VerifyDataset(data.info, folder.path())[3].state, FileState::kUnreadable);
}

}  // namespace
}  // namespace cddp
