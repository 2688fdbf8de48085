#include "trainer/gradient_recording.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

using Floats = std::vector<float>;

class GradientRecordingTest : public testing::Test {
 protected:
  // Two steps of two parameters, in another order in each.
  Bytes Recorded() const {
    GradientRecorder recorder(path_);
    recorder.Add(7, "b", Floats{1.0f, -2.0f});
    recorder.Add(7, "a", Floats{3.0f});
    recorder.EndStep();
    recorder.Add(27, "a", Floats{4.0f});
    recorder.Add(27, "b", Floats{5.0f, 6.0f});
    recorder.EndStep();
    return ReadFileBytes(path_, 1000);
  }

  static void ExpectCorrupt(const Bytes& bytes, const std::string& why) {
    ExpectRefusal([&] { ParseGradientRecording(bytes, "the-file"); }, StatusCode::kCorrupt,
                  {"the-file", why});
  }

  TemporaryFolder folder_;
  const fs::path path_ = folder_.path() / "gradients.cddg";
};

TEST_F(GradientRecordingTest, ReadsWhatWasWritten) {
  Recorded();
  const auto steps = ReadGradientRecording(path_);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].step, 7u);
  EXPECT_EQ(steps[1].step, 27u);
  for (const RecordedStep& step : steps) {
    ASSERT_EQ(step.parameters.size(), 2u);
    EXPECT_EQ(step.parameters[0].name, "a");
    EXPECT_EQ(step.parameters[1].name, "b");
  }
  EXPECT_EQ(steps[0].parameters[0].gradient, (Floats{3.0f}));
  EXPECT_EQ(steps[0].parameters[1].gradient, (Floats{1.0f, -2.0f}));
  EXPECT_EQ(steps[1].parameters[1].gradient, (Floats{5.0f, 6.0f}));
}

TEST_F(GradientRecordingTest, HoldsTheBytesOfTheHeader) {
  {
    GradientRecorder recorder(path_);
    recorder.Add(7, "b", Floats{1.0f, -2.0f});
    recorder.EndStep();
  }
  EXPECT_EQ(ReadFileBytes(path_, 1000),
            (Bytes{0x43, 0x44, 0x44, 0x47, 1,    0,    0, 0,    1,    0, 0, 0, 0,   0,
                   0,    0,    7,    0,    0,    0,    0, 0,    0,    0, 1, 0, 0,   0,
                   2,    0,    0,    0,    0x62, 0x00, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}));
}

TEST_F(GradientRecordingTest, EveryTruncationIsRefused) {
  const Bytes whole = Recorded();
  for (size_t size = 0; size < whole.size(); ++size) {
    ExpectCorrupt(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)), "cut short");
  }
}

TEST_F(GradientRecordingTest, WhatIsNotARecordingIsRefused) {
  const Bytes whole = Recorded();
  const auto changed = [&](size_t at, uint8_t value) {
    Bytes bytes = whole;
    bytes[at] = value;
    return bytes;
  };
  ExpectCorrupt(changed(3, 'H'), "does not begin with CDDG");
  ExpectCorrupt(changed(4, 2), "version 1 expected, got 2");
  ExpectCorrupt(changed(8, 0), "holds no step");
  ExpectCorrupt(changed(8, 5), "cut short");
  ExpectCorrupt(changed(8, 3), "are not those of step 7");  // a parameter of the last step is gone
  ExpectCorrupt(changed(24, 0), "a name has 1 to 4096 bytes");
  ExpectCorrupt(changed(25, 0xff), "a name has 1 to 4096 bytes");
  ExpectCorrupt(changed(28, 0), "has no elements");
  ExpectCorrupt(changed(31, 0xff), "cut short");  // four thousand million elements
  ExpectCorrupt(changed(32, 'a'), "parameter a twice");
  ExpectCorrupt(changed(16, 30), "stands behind");
  Bytes longer = whole;
  longer.push_back(0);
  ExpectCorrupt(longer, "1 trailing bytes");
}

TEST_F(GradientRecordingTest, NonFiniteGradientIsRefused) {
  GradientRecorder recorder(path_);
  recorder.Add(1, "weight", Floats{1.0f, std::numeric_limits<float>::infinity()});
  recorder.EndStep();
  ExpectCorrupt(ReadFileBytes(path_, 1000), "weight holds NaN or Inf");
}

TEST_F(GradientRecordingTest, FileThatCannotBeWrittenIsNamed) {
  ExpectRefusal([] { GradientRecorder recorder("/proc/nowhere/x"); }, StatusCode::kUnavailable,
                {"/proc/nowhere/x", "--record-gradients"});
}

}  // namespace
}  // namespace cddp
