// A language model on a text of the user's own.
#include <cmath>
#include <fstream>

#include "tests/program/program.h"

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
  size_t characters = 0;
  for (const char byte : text) characters += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  const double bytes_per_character =
      static_cast<double>(text.size()) / static_cast<double>(characters);
  EXPECT_GT(bytes_per_character, 1.2);
  for (const auto& [tokens, bytes] :
       std::vector<std::pair<std::string, double>>{{"bytes", 1}, {"chars", bytes_per_character}}) {
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

}  // namespace
}  // namespace cddp
