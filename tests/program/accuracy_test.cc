// What the memories cost in accuracy: 8 ranks of 16 samples, 3 epochs of 20,000 images
// of MNIST, dense and 0.1% of the gradient, one seed. Reads the reports of the
// `cddp bench accuracy` runs before. The study over five seeds is scripts/accuracy_study.py.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace cddp {
namespace {

nlohmann::json Report(const std::string& variant) {
  return nlohmann::json::parse(std::ifstream(CDDP_ACCURACY "-" + variant + ".json"));
}

double Accuracy(const std::string& variant) { return Report(variant).at("test_accuracy_percent"); }

TEST(AccuracyOfEightRanks, DenseConverges) { EXPECT_GT(Accuracy("dense"), 97.0); }

TEST(AccuracyOfEightRanks, MemoriesStayWithinOnePoint) {
  for (const char* memory : {"residual", "dgc"}) {
    EXPECT_GT(Accuracy(memory), Accuracy("dense") - 1.0) << memory;
  }
}

TEST(AccuracyOfEightRanks, WithoutMemoryMoreIsLost) {
  EXPECT_LT(Accuracy("none"), Accuracy("residual") - 0.5);
  EXPECT_LT(Accuracy("none"), Accuracy("dgc") - 0.5);
}

// Reliability scorecard: a second sweep in at most 1% of the selections.
TEST(AccuracyOfEightRanks, SecondSweepsAreRare) {
  for (const char* memory : {"residual", "dgc"}) {
    EXPECT_LE(Report(memory).at("second_sweep_fraction"), 0.01) << memory;
  }
}

}  // namespace
}  // namespace cddp
