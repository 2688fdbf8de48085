// The main claim, on MNIST with two workers: dense training converges, compressed
// training converges to about the same, and it sends far fewer bytes. Reads the
// report of the `cddp compare` that ran before.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace cddp {
namespace {

class Comparison : public testing::Test {
 protected:
  Comparison() : report_(nlohmann::json::parse(std::ifstream(CDDP_COMPARISON))) {}

  double Accuracy(const char* run) const { return report_.at(run).at("test_accuracy_percent"); }
  double Sent(const char* run) const { return report_.at(run).at("tx_bytes_per_step"); }

  nlohmann::json report_;
};

TEST_F(Comparison, DenseTrainingConverges) { EXPECT_GT(Accuracy("dense"), 97.0); }

TEST_F(Comparison, CompressedTrainingConverges) { EXPECT_GT(Accuracy("compressed"), 96.5); }

TEST_F(Comparison, AccuracyComparable) {
  EXPECT_LT(std::abs(Accuracy("dense") - Accuracy("compressed")), 1.0);
}

TEST_F(Comparison, DenseBytesAreThoseOfARing) {
  const double parameters = report_["dense"]["parameters"];
  const double ring = 2.0 * (2 - 1) / 2 * 4 * parameters;
  EXPECT_NEAR(Sent("dense") / ring, 1.0, 0.02);
}

TEST_F(Comparison, CompressedBytesAreTwoHundredTimesFewer) {
  EXPECT_GT(Sent("compressed"), 5'000);  // 4,735 entries of 12 bits or fewer are sent
  EXPECT_GE(Sent("dense") / Sent("compressed"), 200);
}

}  // namespace
}  // namespace cddp
