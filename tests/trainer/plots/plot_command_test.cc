#include "trainer/plots/plot_command.h"

#include "tests/trainer/plots/plot_folder.h"
#include "trainer/comparison.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

class PlotCommandTest : public PlotFolderTest {
 protected:
  void WriteRun() {
    const nlohmann::json json = ToJson(SomeSummary(2));
    Write("config.json", nlohmann::json::object());
    Write("summary.json", json);
    Write("history.json", json["history"]);
  }
  void WriteComparison() {
    Write("comparison.json",
          ToJson(Comparison{.runs = {{.label = "dense", .summary = SomeSummary(2)}}}));
  }
};

TEST_F(PlotCommandTest, DrawsWhatIsThere) {
  WriteRun();
  EXPECT_EQ(DrawFolder(folder()).paths, std::vector{folder() / "training.png"});
  WriteComparison();
  testing::internal::CaptureStdout();
  EXPECT_EQ(PlotCommand({folder().string()}), 0);
  EXPECT_EQ(
      testing::internal::GetCapturedStdout(),
      (folder() / "training.png").string() + "\n" + (folder() / "comparison.png").string() + "\n");
}

TEST_F(PlotCommandTest, ABrokenFileDoesNotKeepTheRest) {
  WriteRun();
  WriteComparison();
  WriteFileAtomically(folder() / "history.json", "[{\"epoch\": 1");
  const FolderPictures pictures = DrawFolder(folder());
  EXPECT_EQ(pictures.paths, std::vector{folder() / "comparison.png"});
  ASSERT_EQ(pictures.errors.size(), 1u);
  EXPECT_EQ(pictures.errors[0].code(), StatusCode::kCorrupt);
  EXPECT_NE(pictures.errors[0].message().find("history.json"), std::string::npos);
  EXPECT_EQ(PlotCommand({folder().string()}), 5);
}

TEST_F(PlotCommandTest, ABadFolderDoesNotKeepTheRest) {
  WriteRun();
  testing::internal::CaptureStdout();
  EXPECT_EQ(PlotCommand({(folder() / "none").string(), folder().string()}), 2);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("training.png"), std::string::npos);
}

TEST_F(PlotCommandTest, FoldersWithNothingToDraw) {
  const auto refusal = [&](const std::filesystem::path& path, StatusCode code,
                           const std::vector<std::string>& fragments) {
    ExpectRefusal([&] { DrawFolder(path); }, code, fragments);
  };
  refusal(folder() / "none", StatusCode::kUnavailable, {"none", "not there"});
  refusal(folder(), StatusCode::kInvalidArgument,
          {"nothing to draw", "history.json", "test.json", "comparison.json"});
  Write("config.json", nlohmann::json::object());
  refusal(folder(), StatusCode::kInvalidArgument, {"half-written", "history.json is missing"});
  refusal(folder() / "config.json", StatusCode::kUnavailable, {"config.json is a file"});
  Write("test.json", {{"samples", 1}, {"accuracy_percent", 4}, {"loss", 1}, {"epoch", 1}});
  refusal(folder(), StatusCode::kInvalidArgument, {"nothing to draw", "of a text"});
}

TEST_F(PlotCommandTest, AHalfWrittenRunNamesTheMissingFile) {
  WriteRun();
  std::filesystem::remove(folder() / "summary.json");
  const FolderPictures pictures = DrawFolder(folder());
  EXPECT_TRUE(pictures.paths.empty());
  ASSERT_EQ(pictures.errors.size(), 1u);
  EXPECT_EQ(pictures.errors[0].code(), StatusCode::kUnavailable);
  EXPECT_NE(pictures.errors[0].message().find("summary.json"), std::string::npos);
}

TEST_F(PlotCommandTest, WithoutGnuplotEverythingElseIsWritten) {
  WriteRun();
  WriteComparison();
  setenv("PATH", "/nowhere", 1);
  const FolderPictures pictures = DrawFolder(folder());
  EXPECT_TRUE(pictures.paths.empty());
  ASSERT_EQ(pictures.errors.size(), 2u);
  for (const Status& error : pictures.errors) {
    EXPECT_EQ(error.code(), StatusCode::kUnavailable);
    EXPECT_NE(error.message().find("gnuplot-nox"), std::string::npos);
  }
  for (const char* name : {"training.dat", "training.gp", "comparison.dat", "comparison.gp"}) {
    EXPECT_TRUE(Has(name)) << name;
  }
  EXPECT_EQ(PlotCommand({folder().string()}), 2);
}

}  // namespace
}  // namespace cddp
