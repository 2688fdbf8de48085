// A folder to draw in, and what is put there and looked at.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tests/expect_refusal.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/history.h"

namespace cddp {

// Restores PATH, which tests set to a place without gnuplot.
class PlotFolderTest : public testing::Test {
 protected:
  ~PlotFolderTest() override { setenv("PATH", path_.c_str(), 1); }

  const std::filesystem::path& folder() const { return folder_.path(); }
  bool Has(const std::string& name) const { return std::filesystem::exists(folder() / name); }
  std::string Read(const std::string& name) const {
    const auto bytes = ReadFileBytes(folder() / name, 1 << 24);
    return {bytes.begin(), bytes.end()};
  }
  void Write(const std::string& name, const nlohmann::json& json) const {
    WriteFileAtomically(folder() / name, json.dump());
  }

  // Width and height in pixels of a whole PNG file.
  std::pair<int, int> PngSize(const std::string& name) const {
    const std::string png = Read(name);
    EXPECT_EQ(png.substr(1, 3), "PNG") << name;
    EXPECT_EQ(png.substr(png.size() - 8, 4), "IEND") << name;
    const auto number = [&](size_t at) {
      int value = 0;
      for (size_t i = at; i < at + 4; ++i) value = 256 * value + static_cast<uint8_t>(png[i]);
      return value;
    };
    return {number(16), number(20)};
  }

  // The words of a line that starts with `start`, or of the first line behind that one.
  std::string LineAfter(const std::string& text, const std::string& start, int lines = 0) const {
    size_t at = text.starts_with(start) ? 0 : text.find("\n" + start);
    if (at == std::string::npos) return "no line starts with " + start;
    if (text[at] == '\n') ++at;
    for (; lines > 0; --lines) at = text.find('\n', at) + 1;
    return text.substr(at, text.find('\n', at) - at);
  }

  const TemporaryFolder folder_;
  const std::string path_ = std::getenv("PATH");
};

// The n-th of some epochs, every number another one.
inline EpochRecord SomeEpoch(int epoch) {
  return {
      .epoch = epoch,
      .train_loss = 2.0 / epoch,
      .train_accuracy_percent = 100 - 16.0 / epoch,
      .test_loss = 2.5 / epoch,
      .test_accuracy_percent = 99 - 8.0 / epoch,
      .learning_rate = 0.5 / epoch,
      .epoch_s = 30,
      .images_per_s = 2000,
      .tx_bytes_per_step = 1000,
      .rx_bytes_per_step = 1000,
      .means = {
          .data_ms = 0.5, .forward_ms = 8, .backward_ms = 16, .exposed_ms = 4, .optimizer_ms = 1}};
}

// A run of 100 steps an epoch.
inline TrainingSummary SomeSummary(int epochs) {
  TrainingSummary summary{.compress = true,
                          .ratio = 0.01,
                          .dataset = "mnist",
                          .model = "simple_cnn",
                          .epochs = epochs,
                          .world_size = 4,
                          .steps = 100 * static_cast<uint64_t>(epochs)};
  for (int epoch = 1; epoch <= epochs; ++epoch) summary.history.push_back(SomeEpoch(epoch));
  return summary;
}

}  // namespace cddp
