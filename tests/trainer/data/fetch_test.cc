#include "trainer/data/fetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/sources.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

using Sources = std::vector<std::unique_ptr<Source>>;

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
      if (data.info.files[i].name == file.name) return Gzip(data.files[i]);
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
    WriteRaw(at_ / (data_.info.files[i].name + ".gz"), Gzip(data_.files[i]));
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
  ExpectRefusal(
      [&] {
        Fetch(MakeSources(MakeSource("first", Unavailable("no route")), MakeSource("second", wrong),
                          MakeSource("third", too_long)));
      },
      StatusCode::kUnavailable,
      {"small", "train-images, train-labels, test-images, test-labels", "first: no route",
       "second: test-labels: expected SHA-256", "third: train-images: not usable as gzip",
       at_.string(), "by hand"});
  EXPECT_TRUE(NamesIn(at_).empty());
  ExpectRefusal([&] { Fetch({}); }, StatusCode::kUnavailable, {"there are no sources"});
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
  ExpectRefusal([&] { empty.Read(data_.info.files[0], {}); }, StatusCode::kUnavailable,
                {"neither train-images nor train-images.gz"});
}

TEST_F(FetchTest, OfflineSkipsSourcesThatNeedTheNetwork) {
  std::atomic<int> reads = 0;
  options_.offline = true;
  ExpectRefusal([&] { Fetch(MakeSources(MakeSource("net", ServeFrom(data_), &reads))); },
                StatusCode::kUnavailable, {"net: skipped, offline"});
  EXPECT_EQ(reads, 0);
}

TEST_F(FetchTest, UnwritableFolderIsToldBeforeAnythingIsRead) {
  WriteRaw(folder_.path() / "file", Ramp(1));
  std::atomic<int> reads = 0;
  const Sources sources = MakeSources(MakeSource("s", ServeFrom(data_), &reads));
  ExpectRefusal([&] { FetchDataset(data_.info, folder_.path() / "file", options_, sources); },
                StatusCode::kUnavailable,
                {"cannot create the folder", "Not a directory", "choose"});
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

}  // namespace
}  // namespace cddp
