// sample_reports FOLDER: writes reports for scripts/check_report.sh: one.html of a run that
// has all there is, ten.html of ten runs of a hundred epochs.
#include <fmt/format.h>

#include <cmath>

#include "tests/trainer/report/run_folders.h"
#include "trainer/report/report_command.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kEpochs = 100;

fs::path MakeSample(const RunFolders& folders, const std::string& name, int number) {
  const fs::path folder = folders.MakeRun(name, kEpochs);
  std::string metrics;
  for (unsigned step = 10; step <= 100 * kEpochs; step += 10) {
    const int epoch = 1 + static_cast<int>((step - 1) / 100);
    const double loss = (2 + 0.1 * number) / std::sqrt(step) + 0.05 * std::sin(step * (number + 1));
    metrics += StepLine(step, epoch, loss);
    if (step % 100 == 0) metrics += EpochLine(step, epoch);
  }
  folders.Write(folder / "metrics.jsonl", metrics);
  folders.WriteJson(folder / "test.json", TestResult());
  folders.WriteJson(folder / "layers.json",
                    Json{{"epoch", kEpochs},
                         {"layers", Json::array({{{"name", "conv1.weight"},
                                                  {"elements", 288},
                                                  {"sent_fraction", 0.01},
                                                  {"residual_norm", 1.5}}})}});
  folders.WriteJson(
      folder / "plan.json",
      Json{{"version", 1},
           {"world_size", 2},
           {"first", "split"},
           {"bucket_elements", Json::array({10'000})},
           {"changes", Json::array({{{"step", 6}, {"ways", Json::array({"gather"})}}})}});
  return folder;
}

int Main(const fs::path& output) {
  fs::create_directories(output);
  const RunFolders folders;
  ReportCommand(
      {.runs = {MakeSample(folders, "one", 0).string()}, .output = (output / "one.html").string()});
  std::vector<std::string> runs;
  for (int i = 0; i < 10; ++i) {
    // A name that would break a page that does not escape it.
    const std::string name = fmt::format("run {} <script>throw 1<!-- & \"b\"", i);
    runs.push_back(MakeSample(folders, name, i).string());
  }
  return ReportCommand({.runs = runs, .output = (output / "ten.html").string()});
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) { return argc == 2 ? cddp::Main(argv[1]) : 2; }
