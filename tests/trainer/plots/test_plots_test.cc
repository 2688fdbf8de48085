#include "trainer/plots/test_plots.h"

#include "tests/trainer/plots/plot_folder.h"

namespace cddp {
namespace {

std::vector<std::string> Names(int classes) {
  std::vector<std::string> names;
  for (int c = 0; c < classes; ++c) names.push_back("class " + std::to_string(c));
  return names;
}

class TestPlotsTest : public PlotFolderTest {
 protected:
  // What `cddp test` writes of `each` samples a class, of which one is taken for the next class.
  static nlohmann::json Result(const std::vector<std::string>& names, int each = 8) {
    const int classes = static_cast<int>(names.size());
    std::vector<Answer> answers;
    for (int c = 0; c < classes; ++c) {
      for (int i = 0; i < each; ++i) {
        answers.push_back({.truth = c,
                           .predicted = i == 0 ? (c + 1) % classes : c,
                           .confidence = i == 0 ? 0.55 : 0.95,
                           .probability = 0.5,
                           .loss = 1});
      }
    }
    nlohmann::json json = ToJson(Classify(answers, classes), answers, names);
    json["epoch"] = 3;
    return json;
  }

  void ExpectRefused(const nlohmann::json& result, const std::vector<std::string>& fragments) {
    Write("test.json", result);
    ExpectRefusal([&] { WriteTestPlots(folder()); }, StatusCode::kCorrupt, fragments);
    EXPECT_FALSE(Has("confusion.dat"));
  }
};

TEST_F(TestPlotsTest, ThePageGrowsWithTheClasses) {
  int width = 0;
  for (const int classes : {2, 10, 26, 100}) {
    Write("test.json", Result(Names(classes)));
    const auto paths = WriteTestPlots(folder());
    EXPECT_EQ(paths, (std::vector{folder() / "confusion.png", folder() / "classes.png",
                                  folder() / "calibration.png"}));
    EXPECT_GT(PngSize("confusion.png").first, width);
    width = PngSize("confusion.png").first;
    EXPECT_EQ(PngSize("classes.png").first, 1650);
    EXPECT_EQ(PngSize("calibration.png"), std::pair(1200, 1350));
  }
}

TEST_F(TestPlotsTest, TheDataAreTheTests) {
  Write("test.json", Result({"Ankle boot", "it's", "50% \"off\"\nexit"}));
  WriteTestPlots(folder());
  const std::string confusion = Read("confusion.dat");
  EXPECT_EQ(LineAfter(confusion, "predicted true count share", 1), "0 0 7 0.875");
  EXPECT_NE(confusion.find("\n1 0 1 0.125\n"), std::string::npos);
  EXPECT_NE(confusion.find("\n2 0 0 0\n"), std::string::npos);
  EXPECT_NE(confusion.find("\n0 2 1 0.125\n"), std::string::npos) << "row: the true class";
  EXPECT_NE(Read("confusion.gp").find("87.50% of 24 samples"), std::string::npos);
  // Names are tics: quotes doubled, a percent sign is no format, one line.
  EXPECT_NE(Read("confusion.gp").find("'Ankle boot' 0, 'it''s' 1, '50%% \"off\" exit' 2"),
            std::string::npos);

  EXPECT_EQ(LineAfter(Read("classes.dat"), "0 "), "0 87.5 87.5 87.5 8 'Ankle boot'");
  EXPECT_NE(Read("classes.gp").find("'Ankle boot (8)' 0"), std::string::npos);

  const std::string calibration = Read("calibration.dat");
  EXPECT_EQ(LineAfter(calibration, "low", 1), "0 6.666666666666667 0 NaN NaN");
  EXPECT_NE(calibration.find(" 21 95 100\n"), std::string::npos);
  EXPECT_NE(calibration.find(" 3 55 0\n"), std::string::npos);
  EXPECT_NE(Read("calibration.gp").find("'accuracy':'confidence' with boxxyerror"),
            std::string::npos)
      << "the gap";
}

TEST_F(TestPlotsTest, ScoresBelowAHalfAreNotEnlarged) {
  Write("test.json", Result(Names(3), 1));  // all wrong
  WriteTestPlots(folder());
  EXPECT_EQ(Read("classes.gp").find("enlarged"), std::string::npos);
  Write("test.json", Result(Names(3), 9));
  WriteTestPlots(folder());
  EXPECT_NE(Read("classes.gp").find("enlarged"), std::string::npos);
}

TEST_F(TestPlotsTest, AClassWithoutSamples) {
  nlohmann::json result = Result(Names(3));
  result["confusion_matrix"][1] = {0, 0, 0};
  Write("test.json", result);
  EXPECT_EQ(WriteTestPlots(folder()).size(), 3u);
  EXPECT_NE(Read("confusion.dat").find("\n1 1 0 0\n"), std::string::npos);
}

TEST_F(TestPlotsTest, OfATextNothing) {
  Write("test.json", {{"samples", 100},
                      {"accuracy_percent", 40},
                      {"loss", 1.5},
                      {"epoch", 1},
                      {"test_bits_per_byte", 2.2}});
  EXPECT_TRUE(WriteTestPlots(folder()).empty());
  EXPECT_FALSE(Has("confusion.gp"));
}

TEST_F(TestPlotsTest, HostileFilesAreRefused) {
  ExpectRefusal([&] { WriteTestPlots(folder()); }, StatusCode::kUnavailable,
                {"test.json", "No such file"});
  const nlohmann::json whole = Result(Names(3));
  const auto with = [&](const std::string& pointer, const nlohmann::json& value) {
    nlohmann::json changed = whole;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    return changed;
  };
  ExpectRefused(with("/confusion_matrix/1/1", -4), {"test.json", "confusion_matrix", "-4"});
  ExpectRefused(with("/confusion_matrix/1", {1, 2}), {"test.json", "confusion_matrix", "3"});
  ExpectRefused(with("/classes/1/recall_fraction", 1.5),
                {"test.json", "class 2", "recall_fraction", "1.5"});
  ExpectRefused(with("/classes/1/support", "many"), {"test.json", "support", "string"});
  ExpectRefused(with("/classes", nlohmann::json::array()), {"test.json", "classes", "3", "0"});
  ExpectRefused(with("/calibration/4/samples", -1), {"test.json", "bin 5", "samples", "-1"});
  ExpectRefused(with("/expected_calibration_error_fraction", nullptr),
                {"test.json", "expected_calibration_error_fraction"});
  nlohmann::json older = whole;
  older.erase("calibration");
  ExpectRefused(older, {"test.json", "calibration", "version"});
}

}  // namespace
}  // namespace cddp
