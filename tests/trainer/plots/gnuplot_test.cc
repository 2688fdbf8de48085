#include "trainer/plots/gnuplot.h"

#include "tests/trainer/plots/plot_folder.h"

namespace cddp {
namespace {

class GnuplotTest : public PlotFolderTest {
 protected:
  static Picture Square(const std::string& name) {
    return {.name = name,
            .data = "1 1\n2 4\n",
            .script = "set terminal pngcairo size 300,200\nset output " + Quoted(name + ".png") +
                      "\nplot " + Quoted(name + ".dat") + " with lines\n"};
  }
};

TEST_F(GnuplotTest, DataScriptAndPictureLieSideBySide) {
  const auto paths = DrawPictures(folder(), {Square("it's one"), Square("two")});
  EXPECT_EQ(paths, (std::vector{folder() / "it's one.png", folder() / "two.png"}));
  EXPECT_EQ(PngSize("it's one.png"), std::pair(300, 200));
  EXPECT_EQ(PngSize("two.png"), std::pair(300, 200));
  EXPECT_EQ(Read("two.dat"), "1 1\n2 4\n");

  std::filesystem::remove(folder() / "it's one.png");
  const std::string again = "cd '" + folder().string() + "' && gnuplot \"it's one.gp\"";
  EXPECT_EQ(std::system(again.c_str()), 0);
  EXPECT_EQ(PngSize("it's one.png"), std::pair(300, 200));
}

TEST_F(GnuplotTest, WithoutGnuplotAllDataAndScriptsAreWritten) {
  setenv("PATH", "/nowhere", 1);
  ExpectRefusal(
      [&] {
        DrawPictures(folder(), {Square("one"), Square("two")});
      },
      StatusCode::kUnavailable,
      {"'gnuplot' is not installed", "gnuplot-nox", "one.png", "gnuplot one.gp"});
  for (const char* name : {"one", "two"}) {
    EXPECT_EQ(Read(std::string(name) + ".dat"), "1 1\n2 4\n");
    EXPECT_EQ(Read(std::string(name) + ".gp"), Square(name).script);
    EXPECT_FALSE(Has(std::string(name) + ".png"));
  }
}

TEST_F(GnuplotTest, WhatGnuplotRefusesIsSaidAndLeavesTheOldPicture) {
  DrawPictures(folder(), {Square("one")});
  const std::string before = Read("one.png");
  Picture broken = Square("one");
  broken.script += "plot nothing\n";
  ExpectRefusal([&] { DrawPictures(folder(), {broken}); }, StatusCode::kUnavailable,
                {"did not draw", "one.png", "undefined variable: nothing"});
  EXPECT_EQ(Read("one.png"), before);
}

TEST_F(GnuplotTest, AFolderThatIsNotThere) {
  ExpectRefusal([&] { DrawPictures(folder() / "none", {Square("one")}); }, StatusCode::kUnavailable,
                {"none"});
}

TEST(QuotedTest, TextStaysTextAndOneLine) {
  EXPECT_EQ(Quoted("plain"), "'plain'");
  EXPECT_EQ(Quoted("it's"), "'it''s'");
  EXPECT_EQ(Quoted("a\nsystem('x')\t\x7f"), "'a system(''x'')  '");
  EXPECT_EQ(Quoted("größer \"`%\\"), "'größer \"`%\\'");
}

TEST(PngNameTest, OnlyPng) {
  RequirePngName("");
  RequirePngName("folder.gp/a.png");
  ExpectRefusal([] { RequirePngName("a.pdf"); }, StatusCode::kInvalidArgument,
                {"--plot", "a.pdf", ".png"});
}

}  // namespace
}  // namespace cddp
