// The program that is measured with is a shell script that notes how it was called.
#include "bench/scaling_measure.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/bench/scaling_fixtures.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

using Words = std::vector<std::string>;

class ScalingMeasureTest : public testing::Test {
 protected:
  // A report of 10 ms of computation and 1 ms of exchange per worker, to the file that
  // --json names.
  void SetUp() override {
    const std::string program = folder_.path() / "program";
    WriteFileAtomically(program,
                        "#!/bin/sh\necho \"$@\" >> " + (folder_.path() / "calls").string() + R"(
while [ $# -gt 0 ]; do
  case $1 in
    --workers) workers=$2;;
    --collective) collective=$2;;
    --json) json=$2;;
  esac
  shift
done
[ "$workers" = "$FAILS" ] && { echo no network >&2; exit 3; }
cat > "$json" << END
{"collective": "$collective", "world_size": ${REPORTS:-$workers}, "sync_ms_median": $workers,
 "step_ms_median": 1$workers, "compute_ms": 10, "tx_bytes_per_step": $workers, "parameters": 5}
END
)");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    measurement_.program = program;
  }
  void TearDown() override {
    unsetenv("FAILS");
    unsetenv("REPORTS");
  }
  std::string Calls() const {
    const auto bytes = ReadFileBytes(folder_.path() / "calls", 1 << 20);
    return {bytes.begin(), bytes.end()};
  }

  const TemporaryFolder folder_;
  ScalingMeasurement measurement_;
};

TEST_F(ScalingMeasureTest, CommandOnThisMachine) {
  measurement_ = {.shapes = "resnet50",
                  .compute_ms = 12.5,
                  .steps = 7,
                  .ratio = 0.01,
                  .values = "int4",
                  .memory = "dgc",
                  .program = "cddp"};
  EXPECT_EQ(SyncCommand(measurement_, "split", 4, "out.json"),
            (Words{"cddp", "bench",    "sync",     "--collective", "split", "--workers",
                   "4",    "--shapes", "resnet50", "--compute-ms", "12.5",  "--steps",
                   "7",    "--ratio",  "0.01",     "--values",     "int4",  "--memory",
                   "dgc",  "--json",   "out.json"}));
}

TEST_F(ScalingMeasureTest, CommandOfALauncher) {
  measurement_ = {
      .interface = "eth0", .launcher = "  lab.sh run -n {P}  --of={P}/{P} --", .program = "cddp"};
  EXPECT_EQ(SyncCommand(measurement_, "dense", 8, "out.json"),
            (Words{"lab.sh", "run", "-n", "8", "--of=8/8", "--", "cddp", "bench", "sync",
                   "--collective", "dense", "--interface", "eth0", "--json", "out.json"}));
}

TEST_F(ScalingMeasureTest, MeasuresEveryCaseOnce) {
  measurement_.workers = {4, 1, 2, 2};
  std::vector<SyncPoint> points;
  MeasureSyncPoints(measurement_, [&](SyncPoint point) { points.push_back(std::move(point)); });
  ASSERT_EQ(points.size(), 5u);
  EXPECT_EQ(points[0].workers, 1);
  EXPECT_EQ(points[4].collective, "split");
  EXPECT_EQ(points[4].workers, 4);
  EXPECT_EQ(points[4].sync_ms, 4);
  const std::string calls = Calls();
  EXPECT_EQ(std::ranges::count(calls, '\n'), 5) << calls;
  EXPECT_EQ(calls.find("bench sync --collective dense --workers 1 --json "), 0u) << calls;
}

TEST_F(ScalingMeasureTest, AFailedCaseIsNamed) {
  setenv("FAILS", "4", 1);
  int taken = 0;
  ExpectRefusal([&] { MeasureSyncPoints(measurement_, [&](const SyncPoint&) { ++taken; }); },
                StatusCode::kUnavailable,
                {"--collective dense --workers 4", "exit code 3", "no network"});
  EXPECT_GT(taken, 0) << "what was measured before is lost";
}

TEST_F(ScalingMeasureTest, AReportOfAnotherCaseIsRefused) {
  setenv("REPORTS", "2", 1);
  ExpectRefusal([&] { MeasureSyncPoints(measurement_, [](const SyncPoint&) {}); },
                StatusCode::kCorrupt, {"dense with 1", "reports dense with 2"});
}

TEST_F(ScalingMeasureTest, BadOptionsAreNamed) {
  const auto refused = [](ScalingMeasurement m, const Words& fragments) {
    ExpectRefusal([&] { CheckMeasurement(m); }, StatusCode::kInvalidArgument, fragments);
  };
  refused({.workers = {0, 2, 4}}, {"--workers", "got 0"});
  refused({.workers = {2, 4, 1025}}, {"--workers", "got 1025"});
  refused({.workers = {1, 2, 2}}, {"--workers", "two numbers"});
  refused({.collectives = {"dens"}}, {"did you mean \"dense\"?"});
  refused({.launcher = "lab.sh run"}, {"--launcher", "{P}", "lab.sh run"});
  CheckMeasurement({.launcher = "lab.sh run -n {P}"});
}

}  // namespace
}  // namespace cddp
