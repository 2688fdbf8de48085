#include "trainer/data/file_bytes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

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

}  // namespace
}  // namespace cddp
