#include "bench/select_plot.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/expect_refusal.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

// Without the slow methods, as with --no-peers.
Json Row(int64_t elements, double ratio, double ms) {
  return {{"elements", elements}, {"ratio", ratio},          {"threads", 1},
          {"ms_median", ms},      {"cold_ms", 1.1 * ms},     {"triad_ms", 0.7 * ms},
          {"topk_ms", nullptr},   {"pipeline_ms", nullptr},  {"nth_element_ms", nullptr},
          {"memory", "residual"}, {"distribution", "normal"}};
}

class SelectPlotTest : public testing::Test {
 protected:
  std::string Text(const char* name) const {
    const auto bytes = ReadFileBytes(folder_.path() / name, 1 << 24);
    return {bytes.begin(), bytes.end()};
  }
  const TemporaryFolder folder_;
};

TEST_F(SelectPlotTest, DrawsTheRowsThatDifferInSizeAlone) {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no gnuplot";
  PlotSelect({Row(1'000'000, 0.1, 3), Row(100'000'000, 0.1, 300), Row(1'000'000, 0.01, 1.5),
              Row(100'000'000, 0.01, 70), Row(25'557'032, 0.5, 1000)},
             folder_.path() / "times.png");
  const std::string data = Text("times.dat");
  EXPECT_NE(data.find("# ms_median\n1000000 1.5\n100000000 70\n\n"), std::string::npos) << data;
  for (const char* method : {"# cold_ms\n", "# triad_ms\n"}) {
    EXPECT_NE(data.find(method), std::string::npos) << data;
  }
  EXPECT_EQ(data.find("topk"), std::string::npos) << data;
  const std::string script = Text("times.gp");
  EXPECT_NE(script.find("top 1% of a gradient"), std::string::npos) << script;
  EXPECT_EQ(script.find("topk"), std::string::npos) << script;
  const std::string png = Text("times.png");
  EXPECT_EQ(png.substr(1, 3), "PNG");
  EXPECT_EQ(png.substr(png.size() - 8, 4), "IEND");
}

TEST_F(SelectPlotTest, OneSizeIsDrawnToo) {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no gnuplot";
  PlotSelect(Json::array({Row(1000, 0.01, 0.001)}), folder_.path() / "one.png");
  EXPECT_EQ(Text("one.png").substr(1, 3), "PNG");
}

TEST_F(SelectPlotTest, TheNameEndsInPng) {
  ExpectRefusal([&] { PlotSelect(Json::array({Row(1000, 0.01, 1)}), folder_.path() / "a.gp"); },
                StatusCode::kInvalidArgument, {"--plot", "a.gp", ".png"});
}

}  // namespace
}  // namespace cddp
