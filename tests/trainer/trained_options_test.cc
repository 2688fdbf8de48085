#include "trainer/trained_options.h"

#include <gtest/gtest.h>

#include <fstream>

#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

TEST(FolderOfRun, IsTheRunHoweverTheCheckpointIsNamed) {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  fs::create_directories(run / "checkpoints" / "step-100");
  std::ofstream(run / "config.json") << "{}";
  EXPECT_EQ(FolderOfRun(run / "checkpoints" / "step-100"), run);
  EXPECT_EQ(FolderOfRun(run / "checkpoints" / "step-100" / ""), run) << "a slash at the end";

  const fs::path before = fs::current_path();
  fs::current_path(run / "checkpoints");
  EXPECT_EQ(FolderOfRun("step-100"), "..");
  fs::current_path(run);
  EXPECT_EQ(FolderOfRun("checkpoints/step-100"), ".");
  fs::current_path(folder.path());
  EXPECT_EQ(FolderOfRun("run/checkpoints/step-100"), "run");
  fs::current_path(before);
}

TEST(FolderOfRun, OfOthersTheFolderThatTheyLieIn) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "all" / "step-100");
  EXPECT_EQ(FolderOfRun(folder.path() / "all" / "step-100"), folder.path() / "all");
  EXPECT_EQ(FolderOfRun(folder.path() / "all" / "step-100/"), folder.path() / "all");
}

}  // namespace
}  // namespace cddp
