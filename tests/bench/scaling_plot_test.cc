#include "bench/scaling_plot.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/bench/scaling_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

ScalingReport PlottedReport(double compute_ms = 100) {
  std::vector<int> workers = {2, 4};
  if (compute_ms > 0) workers.push_back(1);
  std::vector<SyncPoint> points =
      Points("dense", {.ms_per_byte = 1e-4, .bytes = 4e6}, workers, compute_ms);
  for (const SyncPoint& point :
       Points("split", {.fixed_ms = 12, .bytes = 2e4}, {2, 4}, compute_ms)) {
    points.push_back(point);
  }
  return MakeScalingReport(points, {.max_workers = 16});
}

class ScalingPlotTest : public testing::Test {
 protected:
  ~ScalingPlotTest() override { setenv("PATH", path_.c_str(), 1); }
  std::string Text(const char* name) const {
    const auto bytes = ReadFileBytes(folder_.path() / name, 1 << 24);
    return {bytes.begin(), bytes.end()};
  }
  const TemporaryFolder folder_;
  const std::string path_ = std::getenv("PATH");
};

TEST_F(ScalingPlotTest, DataTellsMeasuredFromProjected) {
  const std::string data = ScalingPlotData(PlottedReport());
  const auto block = [&](const std::string& name) {
    const size_t start = data.find("# " + name + "\n");
    if (start == std::string::npos) return std::string("none");
    return data.substr(start, data.find("\n\n", start) - start);
  };
  EXPECT_EQ(std::ranges::count(block("dense measured"), '\n'), 3);
  EXPECT_EQ(std::ranges::count(block("dense projected"), '\n'), 4);  // 2, 4, 8, 16
  EXPECT_EQ(std::ranges::count(block("bars measured"), '\n'), 5);
  EXPECT_EQ(std::ranges::count(block("bars projected"), '\n'), 4);  // 8, 16
  // Two workers send 4 MB in 400 ms: 0.4 times as fast as one, and no range.
  EXPECT_NE(block("dense measured").find("\n2 0.4 20 0.4 0.4 20 20"), std::string::npos) << data;
  // Four workers send 6 MB in 600 ms.
  EXPECT_NE(block("bars measured").find("\n3 4 100 700"), std::string::npos) << data;
}

TEST_F(ScalingPlotTest, ThePictureIsWhole) {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no gnuplot";
  for (double compute_ms : {100.0, 0.0}) {  // without speed-ups, too
    PlotScaling(PlottedReport(compute_ms), folder_.path() / "it's.png");
    const std::string png = Text("it's.png");
    EXPECT_EQ(png.substr(1, 3), "PNG");
    EXPECT_EQ(png.substr(png.size() - 8, 4), "IEND");
  }
  // What is kept draws it again.
  std::filesystem::remove(folder_.path() / "it's.png");
  const std::string again = "cd '" + folder_.path().string() + "' && gnuplot \"it's.gp\" 2>&1";
  EXPECT_EQ(std::system(again.c_str()), 0);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "it's.png"));
}

TEST_F(ScalingPlotTest, WithoutSpeedUpsThereAreOnlyBars) {
  for (double compute_ms : {100.0, 0.0}) {
    const std::string script = ScalingPlotScript(PlottedReport(compute_ms), "a");
    EXPECT_NE(script.find("Step-time breakdown"), std::string::npos) << script;
    EXPECT_EQ(script.find("speed-up") != std::string::npos, compute_ms > 0) << script;
  }
}

TEST_F(ScalingPlotTest, WithoutGnuplotDataAndScriptAreWritten) {
  setenv("PATH", "/nowhere", 1);
  ExpectRefusal([&] { PlotScaling(PlottedReport(), folder_.path() / "a.png"); },
                StatusCode::kUnavailable, {"'gnuplot' is not installed", "gnuplot-nox", "a.gp"});
  EXPECT_EQ(Text("a.dat"), ScalingPlotData(PlottedReport()));
  EXPECT_NE(Text("a.gp").find("'dense, projected"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "a.png"));
}

TEST_F(ScalingPlotTest, TheNameEndsInPng) {
  ExpectRefusal([&] { PlotScaling(PlottedReport(), folder_.path() / "a.gp"); },
                StatusCode::kInvalidArgument, {"--plot", "a.gp", ".png"});
}

}  // namespace
}  // namespace cddp
