// A language model on a text of the user's own.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "tests/program/program.h"
#include "tests/trainer/read_metrics.h"

namespace cddp {
namespace {

class TextTest : public ProgramTest {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = (folder_.path() / "text.txt").string();
    std::ofstream(path) << text;
    return path;
  }

  std::vector<std::string> Training(const std::string& file, const std::string& tokens) const {
    return {"train",       "--workers", "2",         "--compress", "--model",      "transformer",
            "--dataset",   "text",      "--layers",  "1",          "--heads",      "2",
            "--width",     "32",        "--context", "16",         "--epochs",     "2",
            "--optimizer", "adamw",     "--lr",      "0.01",       "--json",       "result.json",
            "--text-file", file,        "--tokens",  tokens,       "--batch-size", "8"};
  }
};

// What a byte costs is what a token costs, shared out over the token's bytes.
TEST_F(TextTest, LossIsAlsoInBitsPerByte) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "éa été, " + std::to_string(i % 10) + "\n";
  const std::string file = Write(text);
  // Each line has 10 characters and 13 bytes, and the last tenth are 40 lines.
  constexpr double kBytesPerCharacter = 1.3;
  for (const auto& [tokens, bytes] :
       std::vector<std::pair<std::string, double>>{{"bytes", 1}, {"chars", kBytesPerCharacter}}) {
    Child child = Start(Training(file, tokens));
    ASSERT_EQ(child.Wait(), 0) << child.err();
    const nlohmann::json result = Json("result.json");
    const double bits = result["test_bits_per_byte"];
    EXPECT_NEAR(bits, result["test_loss"].get<double>() / (std::log(2.0) * bytes), 1e-9) << tokens;
    EXPECT_EQ(result["history"][1]["test_bits_per_byte"], result["test_bits_per_byte"]);
    // Of a byte that could be any: 8.
    EXPECT_LT(bits, 4) << tokens;
    EXPECT_NE(child.err().find(" bits per byte"), std::string::npos) << child.err();
    EXPECT_EQ(child.err().find("test accuracy"), std::string::npos) << child.err();
  }
}

// Which text it was is in the checkpoint: none is taken in its place without a word.
TEST_F(TextTest, WhatIsTestedAndGoneOnWithIsWhatWasTrainedOn) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "some line, " + std::to_string(i % 10) + "\n";
  const std::string file = Write(text);
  std::vector<std::string> training = Training(file, "bytes");
  training.insert(training.end(),
                  {"--epochs", "1", "--checkpoint-dir", "checkpoints", "--log-every", "4"});
  Child trained = Start(training);
  ASSERT_EQ(trained.Wait(), 0) << trained.err();
  EXPECT_NE(trained.err().find(" windows/s"), std::string::npos) << trained.err();
  EXPECT_EQ(trained.err().find("images/s"), std::string::npos) << trained.err();
  // Windows of 16 bytes, of steps and of epochs: the slowest steps are no faster than the epoch.
  std::map<std::string, double> slowest;
  for (const auto& record : ReadJsonLines(Runs().at(0) / "metrics.jsonl")) {
    double& rate = slowest.try_emplace(record["kind"], record["images_per_s"]).first->second;
    rate = std::min<double>(rate, record["images_per_s"]);
  }
  EXPECT_LT(slowest.at("step"), 2 * slowest.at("epoch"));

  const auto test = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"test", "--data-dir", "none", "--checkpoint", "checkpoints"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Start(arguments);
  };
  Child unsaid = test({});
  EXPECT_EQ(unsaid.Wait(), 2);
  EXPECT_NE(unsaid.err().find("--text-file"), std::string::npos) << unsaid.err();
  Child same = test({"--text-file", file});
  EXPECT_EQ(same.Wait(), 0) << same.err();
  EXPECT_EQ(same.err().find("other data"), std::string::npos) << same.err();
  EXPECT_EQ(same.out().find(" bits per byte"), 5u) << same.out();

  const std::string other = Write(text + "another line\n");
  Child warned = test({"--text-file", other});
  EXPECT_EQ(warned.Wait(), 0) << warned.err();
  EXPECT_NE(warned.err().find("other data"), std::string::npos) << warned.err();
  training.insert(training.end(), {"--epochs", "2", "--resume", "auto"});
  Child resumed = Start(training);
  EXPECT_EQ(resumed.Wait(), 0) << resumed.err();
  EXPECT_NE(resumed.err().find("not the data that the checkpoint"), std::string::npos)
      << resumed.err();
}

}  // namespace
}  // namespace cddp
