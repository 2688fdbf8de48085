// Workers that were started with anything different refuse each other, and say what it is.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "cddp/status.h"
#include "ddp/world.h"
#include "tests/program/child.h"
#include "trainer/options.h"

namespace cddp {
namespace {

// What a worker that wants to join is told.
Status Join(int rank, const std::string& meeting_file,
            const std::map<std::string, std::string>& configuration) {
  WorldOptions options;
  options.launch.rank = rank;
  options.launch.world_size = 2;
  options.meeting_file = meeting_file;
  options.configuration = configuration;
  try {
    World::Join(options)->Leave();
  } catch (const StatusError& error) {
    return error.status();
  }
  return Status::Ok();
}

// Reliability scorecard, row 12: each field in turn.
TEST(Agreement, EachFieldIsRefusedByName) {
  TrainOptions run{.compress = true};
  Resolve(run);
  std::map<std::string, std::string> configuration = AgreedConfiguration(run);
  for (const char* more : {"command", "data (sha256)", "version", "--plan (content)"}) {
    configuration[more] = "the same";
  }
  EXPECT_GT(configuration.size(), 50u);
  for (const auto& [field, value] : configuration) {
    SCOPED_TRACE(field);
    const TestFolder folder;
    const std::string meeting = (folder.path() / "meeting").string();
    std::map<std::string, std::string> other = configuration;
    other[field] += "?";
    const auto start = std::chrono::steady_clock::now();
    Status of_first;
    std::thread first([&] { of_first = Join(0, meeting, configuration); });
    const Status of_second = Join(1, meeting, other);
    first.join();
    for (const Status& status : {of_first, of_second}) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.message();
      EXPECT_NE(status.message().find(field), std::string::npos) << status.message();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  }
}

}  // namespace
}  // namespace cddp
