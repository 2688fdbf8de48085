#include "trainer/run_output.h"

#include <gtest/gtest.h>

#include "cddp/transport.h"
#include "tests/trainer/read_metrics.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

// A folder that has gone refuses its files as a full disk does, and whoever the user is.
TEST(RunOutput, GoesOnWithoutWhatCannotBeWritten) {
  const TemporaryFolder temporary;
  const auto transports = MakeInProcessTransports(1);
  const auto collective = MakeDenseCollective(transports[0].get());
  const RunFolder folder(temporary.path(), "run", {});
  RunOutput output(&folder, {}, collective.get());
  output.BeginEpoch();
  output.Append("epoch", 1, {{"loss", 1}});
  output.Write({.epochs = 1});
  EXPECT_EQ(output.failure(), "");
  const fs::path away = temporary.path() / "away";
  fs::rename(folder.path(), away);
  output.Write({.epochs = 2});
  EXPECT_NE(output.failure().find(folder.path().string()), std::string::npos) << output.failure();
  fs::rename(away, folder.path());
  output.Write({.epochs = 3});
  EXPECT_EQ(output.failure(), "");
  EXPECT_EQ(ReadJsonLines(folder.path() / "metrics.jsonl").size(), 1u);
}

TEST(RunOutput, WithoutAFolderThereIsNone) {
  const auto transports = MakeInProcessTransports(1);
  const auto collective = MakeDenseCollective(transports[0].get());
  RunOutput output(nullptr, {}, collective.get());
  output.BeginEpoch();
  output.Append("epoch", 1, {});
  output.Write({});
  EXPECT_EQ(output.metrics(), nullptr);
  EXPECT_EQ(output.failure(), "");
}

}  // namespace
}  // namespace cddp
