#include "trainer/plan_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cddp/status.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/shapes.h"

namespace cddp {
namespace {

class InFolder : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = (folder_.path() / "file").string();
    std::ofstream(path) << text;
    return path;
  }
  TemporaryFolder folder_;
};

using PlanFile = InFolder;
using ShapesFile = InFolder;

TEST_F(PlanFile, ComesBackAsItWas) {
  const Plan plan{.world_size = 4,
                  .first = Way::kSplit,
                  .elements = {262'144, 4'294'967'295},
                  .changes = {{1, {Way::kDense, Way::kGather}}, {6, {Way::kSplit, Way::kSplit}}}};
  const Plan read = ReadPlan(Write(ToJson(plan).dump()));
  EXPECT_EQ(read.world_size, plan.world_size);
  EXPECT_EQ(read.first, plan.first);
  EXPECT_EQ(read.elements, plan.elements);
  ASSERT_EQ(read.changes.size(), 2u);
  EXPECT_EQ(read.changes[1].step, 6u);
  EXPECT_EQ(read.changes[0].ways, plan.changes[0].ways);
}

TEST_F(PlanFile, DamagedOneIsRefused) {
  const auto refusal = [&](const std::string& text) {
    try {
      ReadPlan(Write(text));
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kCorrupt) << error.what();
      return std::string(error.what());
    }
    ADD_FAILURE() << text;
    return std::string();
  };
  refusal("");
  refusal("{}");
  refusal("[1]");
  nlohmann::json good =
      ToJson(Plan{.world_size = 2, .elements = {7}, .changes = {{1, {Way::kDense}}}});
  nlohmann::json bad = good;
  bad["version"] = 9;
  EXPECT_NE(refusal(bad.dump()).find("version 1 expected, got 9"), std::string::npos);
  bad = good;
  bad["first"] = "sideways";
  EXPECT_NE(refusal(bad.dump()).find("sideways"), std::string::npos);
  bad = good;
  bad["changes"][0]["ways"] = 3;
  refusal(bad.dump());
  bad = good;
  bad.erase("world_size");
  EXPECT_NE(refusal(bad.dump()).find("world_size"), std::string::npos);
  EXPECT_THROW(ReadPlan("/nowhere/plan.json"), StatusError);
}

uint64_t ElementsOf(const std::string& name) {
  uint64_t elements = 0;
  for (const ParameterShape& shape : ShapesOf(name)) elements += shape.elements();
  return elements;
}

// As torchvision and others count them.
TEST(Shapes, KnownModelsHaveTheirSizes) {
  EXPECT_EQ(ElementsOf("simple_cnn"), 421'642u);
  EXPECT_EQ(ElementsOf("resnet18"), 11'689'512u);
  EXPECT_EQ(ElementsOf("resnet50"), 25'557'032u);
  EXPECT_EQ(ElementsOf("vgg16"), 138'357'544u);
  EXPECT_EQ(ElementsOf("transformer124m"), 124'439'808u);
}

TEST_F(ShapesFile, IsReadAndWritten) {
  const auto shapes = ShapesOf("resnet18");
  const auto read = ShapesOf(Write("# a comment\n\n" + ShapesText(shapes)));
  ASSERT_EQ(read.size(), shapes.size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, shapes[i].name);
    EXPECT_EQ(read[i].sizes, shapes[i].sizes);
  }
}

TEST_F(ShapesFile, BadLineIsNamed) {
  for (const char* line :
       {"w 0", "w -3", "w 3x", "w", "w 70000 70000", "v 1\nw 1\nv 2", "# none"}) {
    try {
      ShapesOf(Write(std::string("\n") + line));
      ADD_FAILURE() << line;
    } catch (const StatusError& error) {
      EXPECT_EQ(error.code(), StatusCode::kCorrupt) << error.what();
    }
  }
}

// A bucket closes when it is full: it may be larger by one parameter.
TEST(Shapes, BucketsAreThoseOfDdp) {
  const std::vector<ParameterShape> shapes = {
      {"a", {100}}, {"b", {1 << 20}}, {"c", {2 << 20}}, {"d", {300'000}}, {"e", {1'000}}};
  const auto buckets = BucketsOf(shapes, 8 << 20);
  ASSERT_EQ(buckets.size(), 3u);
  EXPECT_EQ(buckets[0].size(), 2u);
  EXPECT_EQ(buckets[0][0].name, "e");
  EXPECT_EQ(buckets[0][1].offset, 1'000u);
  EXPECT_EQ(buckets[1].size(), 1u) << "c alone is 8 MiB";
  EXPECT_EQ(buckets[2].back().name, "a");
}

}  // namespace
}  // namespace cddp
