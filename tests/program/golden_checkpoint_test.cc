// A checkpoint that an earlier program has written is still read, and nothing of it is lost.
// Reliability scorecard, row 21.
//
// tests/golden/checkpoint-1, format version 1, is what two workers had saved after one of two
// epochs of the training below.
#include <fstream>

#include "tests/program/program.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class GoldenCheckpoint : public ProgramTest {
 protected:
  GoldenCheckpoint() {
    std::ofstream text(folder_.path() / "text.txt");
    for (int i = 0; i < 200; ++i) text << "line " << i % 10 << " of a golden text\n";
  }

  // As a golden checkpoint was made: with --epochs 1 and --checkpoint-dir.
  static std::vector<std::string> Training(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train",
                                       "--workers",
                                       "2",
                                       "--threads",
                                       "1",
                                       "--model",
                                       "transformer",
                                       "--dataset",
                                       "text",
                                       "--tokens",
                                       "bytes",
                                       "--text-file",
                                       "text.txt",
                                       "--layers",
                                       "1",
                                       "--heads",
                                       "2",
                                       "--width",
                                       "8",
                                       "--context",
                                       "8",
                                       "--batch-size",
                                       "8",
                                       "--optimizer",
                                       "sgd",
                                       "--lr",
                                       "0.1",
                                       "--compress",
                                       "--collective",
                                       "split",
                                       "--memory",
                                       "dgc",
                                       "--whole-limit",
                                       "16",
                                       "--device",
                                       "cpu",
                                       "--seed",
                                       "21"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST_F(GoldenCheckpoint, OfVersion1IsTestedAndGoesOn) {
  const fs::path golden = fs::path(CDDP_SOURCE) / "tests" / "golden" / "checkpoint-1";
  Child test = Start({"test", "--checkpoint", golden.string(), "--text-file", "text.txt",
                      "--output", ".", "--json", "test.json"});
  ASSERT_EQ(test.Wait(), 0) << test.err();
  constexpr double kTestLoss = 2.691631;  // as it was then, on another processor perhaps
  EXPECT_NEAR(Json("test.json")["loss"], kTestLoss, 1e-4);

  Child more = Start(Training({"--epochs", "2", "--resume", golden.string(), "--save-every", "0",
                               "--json", "result.json"}));
  ASSERT_EQ(more.Wait(), 0) << more.err();
  const std::string log = more.err();
  EXPECT_NE(log.find("--epochs: 1 then, 2 now"), std::string::npos) << log;
  EXPECT_EQ(log.find(" then, "), log.rfind(" then, ")) << "another option differs: " << log;
  const nlohmann::json history = Json("result.json")["history"];
  ASSERT_EQ(history.size(), 2u);
  EXPECT_NEAR(history[0]["test_loss"], kTestLoss, 1e-6);
  EXPECT_LT(history[1]["test_loss"], 2.3) << "2.15 then";
}

}  // namespace
}  // namespace cddp
