#include "bench/select_bench.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "bench/device_bench.h"
#include "bench/select_plot.h"
#include "bench/select_report.h"
#include "cddp/status.h"
#include "trainer/plots/gnuplot.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

// Bytes that programs may still take; 0 when the system does not say.
double AvailableBytes() {
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:")) return 1024 * std::stod(line.substr(13));
  }
  return 0;
}

void RequireMemory(const std::vector<SelectCase>& cases) {
  const SelectCase& largest = *std::ranges::max_element(cases, {}, BytesNeeded);
  const double needed = BytesNeeded(largest);
  const double available = AvailableBytes();
  if (available == 0 || needed <= available) return;
  constexpr double kGiB = 1 << 30;
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("{} elements with memory {} need up to {:.1f} GiB, {:.1f} GiB are available; "
                  "choose fewer with --elements",
                  largest.elements, largest.memory, needed / kGiB, available / kGiB));
}

nlohmann::json MeasureAll(const std::vector<SelectCase>& cases, const SelectSettings& settings,
                          std::FILE* table) {
  nlohmann::json rows = nlohmann::json::array();
  fmt::print(table, "{}\n", TableHeader());
  for (const SelectCase& c : cases) {
    spdlog::info("case {} of {}: {} elements, ratio {}, {} thread(s), {}, memory {}",
                 rows.size() + 1, cases.size(), c.elements, c.ratio, c.threads, c.distribution,
                 c.memory);
    const auto start = Clock::now();
    CheckAgainstOracle(c, settings);
    const auto checked = Clock::now();
    rows.push_back(SelectRow(c, TimeSelection(c, settings)));
    spdlog::info("  the oracle agrees ({:.1f} s), timed ({:.1f} s)",
                 std::chrono::duration<double>(checked - start).count(),
                 std::chrono::duration<double>(Clock::now() - checked).count());
    fmt::print(table, "{}\n", TableLine(rows.back()));
    std::fflush(table);
  }
  return rows;
}

}  // namespace

int SelectBench(const SelectBenchOptions& options) {
  if (options.device != "cpu") return SelectBenchOnDevice(options);
  const std::vector<SelectCase> cases = SelectCases(options);
  RequireMemory(cases);
  RequireOutputs(options.outputs);
  RequireOutput("--plot", options.plot);
  RequirePngName(options.plot);
  Recording recording;
  if (!options.gradients.empty()) {
    recording = ReadGradientRecording(options.gradients);
  } else if (cases.size() > 1 && !options.distribution) {
    spdlog::info(
        "real gradients are left out: give some with --gradients FILE (cddp train "
        "--record-gradients)");
  }
  const SelectSettings settings{.steps = options.steps,
                                .seed = static_cast<uint64_t>(options.seed),
                                .peers = !options.no_peers,
                                .recording = &recording};
  const nlohmann::json rows = MeasureAll(cases, settings, TableStream(options.outputs.json));

  WriteOutputs(options.outputs, SelectColumns(), rows,
               {{"steps", options.steps}, {"seed", options.seed}});
  if (!options.plot.empty()) PlotSelect(rows, options.plot);
  return 0;
}

}  // namespace cddp
