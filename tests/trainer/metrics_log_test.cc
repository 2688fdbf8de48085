#include "trainer/metrics_log.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "tests/trainer/read_metrics.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

TEST(Crc32c, KnownValues) {
  // RFC 3720, appendix B.4, and the usual check value.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

class MetricsLogTest : public testing::Test {
 protected:
  std::vector<nlohmann::json> Lines() const {
    return ReadJsonLines(folder_.path() / "metrics.jsonl");
  }
  TemporaryFolder folder_;
};

TEST_F(MetricsLogTest, RecordsComeBack) {
  {
    MetricsLog log(folder_.path(), /*tensorboard=*/true);
    log.Append("step", 50, {{"loss", 0.25}, {"learning_rate", 0.1}});
    log.Append("step", 100, {{"loss", std::nan("")}, {"learning_rate", 0.1}});
    log.Append("epoch", uint64_t{1} << 40, {{"test_loss", -1.5}, {"note", "text"}});
  }
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["kind"], "step");
  EXPECT_EQ(lines[0]["step"], 50);
  EXPECT_EQ(lines[0]["loss"], 0.25);
  EXPECT_TRUE(lines[1]["loss"].is_null());
  EXPECT_GT(lines[2]["wall_time"], 1.6e9);

  if (!HavePython()) GTEST_SKIP() << "the reader of event files is in Python";
  ASSERT_EQ(EventFiles(folder_.path()).size(), 1u);
  const auto events = ReadEvents(EventFiles(folder_.path())[0]);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0]["file_version"], "brain.Event:2");
  EXPECT_EQ(events[1]["step"], 50);
  EXPECT_EQ(events[1]["wall_time"], lines[0]["wall_time"]);
  EXPECT_EQ(events[1]["scalars"]["step/loss"], 0.25);
  EXPECT_FLOAT_EQ(events[1]["scalars"]["step/learning_rate"], 0.1f);
  EXPECT_TRUE(events[2]["scalars"].at("step/loss").is_null());
  EXPECT_EQ(events[3]["step"], int64_t{1} << 40);
  EXPECT_EQ(events[3]["scalars"], (nlohmann::json{{"epoch/test_loss", -1.5}}));
}

TEST_F(MetricsLogTest, WithoutTensorboardThereIsNoEventFile) {
  MetricsLog log(folder_.path(), /*tensorboard=*/false);
  log.Append("step", 1, {{"loss", 1.0}});
  EXPECT_TRUE(EventFiles(folder_.path()).empty());
}

// Training goes on without what a full disk does not take.
TEST_F(MetricsLogTest, WhatCannotBeWrittenIsLeftOut) {
  MetricsLog log(folder_.path(), false);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{.rlim_cur = 100, .rlim_max = before.rlim_max};
  const auto action = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  log.Append("step", 1, {{std::string(100, 'n'), 1}});
  EXPECT_NE(log.failure().find("metrics.jsonl"), std::string::npos) << log.failure();
  log.Append("step", 2, {});
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, action);
  ASSERT_EQ(Lines().size(), 1u);
  EXPECT_EQ(Lines()[0]["step"], 2);
}

// At any moment: all records but perhaps the last are there, whole and in order.
TEST_F(MetricsLogTest, IsValidAfterAKill) {
  const bool python = HavePython();
  for (int kill_number = 0; kill_number < 10; ++kill_number) {
    const TemporaryFolder folder;
    const pid_t writer = fork();
    if (writer == 0) {
      MetricsLog log(folder.path(), true);
      const std::string name(3000, 'n');  // long records are torn more often
      for (uint64_t step = 1;; ++step) log.Append("step", step, {{name, step}});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3 + 2 * kill_number));
    kill(writer, SIGKILL);
    waitpid(writer, nullptr, 0);

    if (!std::filesystem::exists(folder.path() / "metrics.jsonl")) continue;  // too early
    const auto lines = ReadJsonLines(folder.path() / "metrics.jsonl");
    for (size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i]["step"], i + 1);
    for (const auto& file : EventFiles(folder.path())) {
      if (!python) continue;
      const auto events = ReadEvents(file);
      for (size_t i = 0; i < events.size(); ++i) ASSERT_EQ(events[i]["step"], i);
      // The file is written behind the line.
      EXPECT_GE(events.size() + 1, lines.size());
    }
  }
}

TEST_F(MetricsLogTest, TheReaderFindsDamage) {
  if (!HavePython()) GTEST_SKIP() << "the reader of event files is in Python";
  {
    MetricsLog log(folder_.path(), true);
    log.Append("step", 1, {{"loss", 1.0}});
  }
  const std::filesystem::path path = EventFiles(folder_.path())[0];
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_EQ(ReadEvents(path).size(), 1u) << "the torn record is left out";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(20);
  file.put('\x7f');
  file.close();
  EXPECT_NONFATAL_FAILURE(ReadEvents(path), "pclose");
}

}  // namespace
}  // namespace cddp
