#include "trainer/data/file_bytes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "cddp/status.h"
#include "ddp/file_descriptor.h"
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
  ExpectRefusal([&] { ReadFileBytes(path, 19); }, StatusCode::kCorrupt, {"at most 19", "found 20"});
}

TEST(FileBytesTest, FailedWriteLeavesNoTemporaryFile) {
  TemporaryFolder folder;
  fs::create_directories(folder.path() / "taken" / "inside");
  ExpectRefusal([&] { WriteFileAtomically(folder.path() / "taken", Ramp(10)); },
                StatusCode::kUnavailable, {"taken"});
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{"taken"});
  ExpectRefusal([&] { WriteFileAtomically(folder.path() / "none" / "a", Ramp(10)); },
                StatusCode::kUnavailable, {"none", "No such file"});
}

TEST(FileBytesTest, SymbolicLinksStay) {
  TemporaryFolder folder;
  const fs::path target = folder.path() / "inside" / "target", link = folder.path() / "link";
  fs::create_directory(target.parent_path());
  fs::create_symlink("inside/target", link);
  for (size_t size : {10, 20}) {  // the first time the target is not there
    RequireWritableResult(link);
    WriteResult(link, Ramp(size));
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(ReadFileBytes(target, 20), Ramp(size));
  }
  EXPECT_EQ(NamesIn(target.parent_path()), std::vector<std::string>{"target"});
}

// As /dev/stdout does where the shell has said >> file: that is written on, not replaced.
TEST(FileBytesTest, NamesOfOpenFilesAreWrittenOn) {
  TemporaryFolder folder;
  const fs::path path = folder.path() / "log", link = folder.path() / "link";
  WriteFileAtomically(path, "before\n");
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_APPEND));
  const fs::path name = "/proc/self/fd/" + std::to_string(file.get());
  fs::create_symlink(name, link);
  for (const fs::path& at : {name, link}) {
    RequireWritableResult(at);
    WriteResult(at, "more\n");
  }
  const std::vector<uint8_t> all = ReadFileBytes(path, 100);
  EXPECT_EQ(std::string(all.begin(), all.end()), "before\nmore\nmore\n");
  EXPECT_TRUE(fs::is_symlink(link));

  const FileDescriptor unwritable(open(path.c_str(), O_RDONLY));
  const std::string number = std::to_string(unwritable.get());
  ExpectRefusal([&] { RequireWritableResult("/proc/self/fd/" + number); }, StatusCode::kUnavailable,
                {number});
  ExpectRefusal([] { RequireWritableResult("/dev/fd/9999"); }, StatusCode::kUnavailable, {"9999"});
}

TEST(FileBytesTest, PipesAreWrittenInto) {
  TemporaryFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  RequireWritableResult(pipe);  // does not wait for a reader
  const FileDescriptor reader(open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
  WriteResult(pipe, Ramp(10));
  Bytes got(20);
  ASSERT_EQ(read(reader.get(), got.data(), got.size()), 10);
  got.resize(10);
  EXPECT_EQ(got, Ramp(10));
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{"pipe"});
}

TEST(FileBytesTest, ResultsThatCannotBeWrittenAreToldBefore) {
  TemporaryFolder folder;
  ExpectRefusal([&] { RequireWritableResult(folder.path()); }, StatusCode::kUnavailable,
                {folder.path().string(), "directory"});
  ExpectRefusal([&] { RequireWritableResult(folder.path() / "none" / "a"); },
                StatusCode::kUnavailable, {"none", "No such file"});
  RequireWritableResult(folder.path() / "a");
  EXPECT_TRUE(NamesIn(folder.path()).empty());
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
