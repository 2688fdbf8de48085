// Over many steps nothing is lost: what was sent and what is remembered add up
// to the gradients, and what is remembered stays bounded.
#include <gtest/gtest.h>

#include <cmath>

#include "cddp/compressor.h"
#include "cddp/frame.h"
#include "tests/core/generators.h"
#include "tests/core/owned_bucket.h"

namespace cddp {
namespace {

constexpr uint32_t kCourseElements = 200;
constexpr double kRatio = 0.1;

struct Course {
  std::vector<double> gradients = std::vector<double>(kCourseElements);
  std::vector<double> sent = std::vector<double>(kCourseElements);
  std::vector<float> residual;
  double largest_gradient = 0;  // norms
  double largest_residual = 0;
};

double Norm(const std::vector<float>& values) {
  double squares = 0;
  for (float value : values) squares += double{value} * value;
  return std::sqrt(squares);
}

template <typename Gradient>
Course Train(const std::string& memory, int steps, Gradient gradient) {
  Course course;
  std::unique_ptr<Compressor> compressor;
  EXPECT_TRUE(Compressor::Create({.ratio = kRatio, .whole_limit = 0, .memory = {.name = memory}},
                                 &compressor)
                  .ok());
  OwnedBucket bucket(0, {kCourseElements});
  for (int step = 0; step < steps; ++step) {
    for (uint32_t i = 0; i < kCourseElements; ++i) {
      bucket.values[i] = gradient(step, i);
      course.gradients[i] += bucket.values[i];
    }
    std::vector<std::byte> frame;
    EXPECT_TRUE(compressor->Compress(bucket.At(step), 0, &frame).ok());
    FrameView view;
    const FrameId id{static_cast<uint64_t>(step), 0, 0, kCourseElements};
    Selection sent;
    EXPECT_TRUE(DecodeFrame(frame, id, kCourseElements, &view, &sent).ok());
    EXPECT_EQ(sent.size(), 20u);
    for (size_t i = 0; i < sent.size(); ++i) course.sent[sent.indices[i]] += sent.values[i];
    compressor->EndStep(true);
    const MemoryState state = compressor->memory().Save();
    course.residual = state.empty() ? std::vector<float>(kCourseElements) : state.begin()->second;
    course.largest_gradient = std::max(course.largest_gradient, Norm(bucket.values));
    course.largest_residual = std::max(course.largest_residual, Norm(course.residual));
  }
  return course;
}

// Top-K leaves at most sqrt(1 - k/n) of a norm behind, so that the residual's
// norm stays below the sum of that geometric series.
void ExpectBounded(const Course& course) {
  const double contraction = std::sqrt(1.0 - kRatio);
  EXPECT_LE(course.largest_residual, contraction / (1.0 - contraction) * course.largest_gradient);
  EXPECT_GT(course.largest_residual, 0.0);
}

// Whole numbers, whose sums are exact.
TEST(ErrorFeedback, SumOfSentConvergesToSumOfGradients) {
  const Course course = Train("residual", 500, [](int, uint32_t i) {
    return static_cast<float>(static_cast<int>(i % 41) - 20);
  });
  for (uint32_t i = 0; i < kCourseElements; ++i) {
    ASSERT_EQ(course.sent[i] + course.residual[i], course.gradients[i]) << i;
    // So the mean of what was sent converges, however small the gradient is: the
    // smallest is 1, so that an entry that never goes is off by at least 1.
    EXPECT_NEAR(course.sent[i] / 500, course.gradients[i] / 500, 0.5) << i;
  }
  ExpectBounded(course);
}

TEST(ErrorFeedback, RandomGradientsAddUp) {
  RandomBits bits(7);
  const Course course = Train("residual", 1'000, [&](int, uint32_t) { return bits.Gradient(); });
  for (uint32_t i = 0; i < kCourseElements; ++i) {
    EXPECT_NEAR(course.sent[i] + course.residual[i], course.gradients[i], 1e-4) << i;
  }
  ExpectBounded(course);
}

// The control: without memory the small constant gradients never get through.
TEST(ErrorFeedback, WithoutMemoryTheRestIsLost) {
  const Course course = Train("none", 100, [](int, uint32_t i) {
    return static_cast<float>(static_cast<int>(i % 41) - 20);
  });
  size_t never_sent = 0;
  for (uint32_t i = 0; i < kCourseElements; ++i) {
    never_sent += course.sent[i] == 0.0 && course.gradients[i] != 0.0;
  }
  EXPECT_GT(never_sent, kCourseElements / 2);
}

}  // namespace
}  // namespace cddp
