#include "bench/scaling_measure.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "cddp/status.h"
#include "trainer/data/child_process.h"
#include "trainer/data/temporary_folder.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr int kMaxMeasuredWorkers = 1024;
constexpr std::chrono::hours kTimeLimit{1};
constexpr std::string_view kPlaceholder = "{P}";

std::vector<std::pair<std::string, int>> Cases(const ScalingMeasurement& m) {
  std::vector<std::pair<std::string, int>> cases;
  const std::set<int> counts(m.workers.begin(), m.workers.end());
  if (counts.contains(1)) cases.emplace_back("dense", 1);
  for (const std::string& collective : m.collectives) {
    for (int workers : counts) {
      if (workers > 1) cases.emplace_back(collective, workers);
    }
  }
  return cases;
}

}  // namespace

void CheckMeasurement(const ScalingMeasurement& m) {
  std::set<int> exchanging;
  for (int workers : m.workers) {
    if (workers < 1 || workers > kMaxMeasuredWorkers) {
      Refuse(fmt::format("--workers must be from 1 to {}, got {}", kMaxMeasuredWorkers, workers));
    }
    if (workers > 1) exchanging.insert(workers);
  }
  if (exchanging.size() < 2) {
    Refuse("--workers needs two numbers above 1 or more, such as 1,2,4: one does not make a model");
  }
  for (const std::string& name : m.collectives) {
    RequireName("collective", name, ScalingCollectives());
  }
  if (!m.launcher.empty() && m.launcher.find(kPlaceholder) == std::string::npos) {
    Refuse(fmt::format("--launcher must hold {{P}}, where the number of workers goes: got \"{}\"",
                       m.launcher));
  }
}

std::vector<std::string> SyncCommand(const ScalingMeasurement& m, const std::string& collective,
                                     int workers, const std::string& json) {
  std::vector<std::string> command;
  std::istringstream words(m.launcher);
  for (std::string word; words >> word;) {
    for (size_t at; (at = word.find(kPlaceholder)) != std::string::npos;) {
      word.replace(at, kPlaceholder.size(), std::to_string(workers));
    }
    command.push_back(word);
  }
  command.insert(command.end(), {m.program, "bench", "sync", "--collective", collective});
  const auto add = [&](const char* flag, const auto& value) {
    if (value) command.insert(command.end(), {flag, fmt::format("{}", *value)});
  };
  if (m.launcher.empty()) add("--workers", std::optional(workers));
  add("--shapes", m.shapes);
  add("--compute-ms", m.compute_ms);
  add("--steps", m.steps);
  add("--ratio", m.ratio);
  add("--values", m.values);
  add("--memory", m.memory);
  add("--interface", m.interface);
  command.insert(command.end(), {"--json", json});
  return command;
}

void MeasureSyncPoints(const ScalingMeasurement& measurement,
                       const std::function<void(SyncPoint)>& take) {
  ScalingMeasurement m = measurement;
  // A launcher may change the folder, and in it "self" is another program.
  std::error_code missing;  // starting it says so
  const auto program = std::filesystem::canonical(m.program, missing);
  if (!missing) m.program = program.string();
  const TemporaryFolder folder;
  const auto cases = Cases(m);
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& [collective, workers] = cases[i];
    spdlog::info("measuring {} of {}: {}, {} worker{}", i + 1, cases.size(), collective, workers,
                 workers == 1 ? "" : "s");
    const std::string json = folder.path() / fmt::format("{}-{}.json", collective, workers);
    RunProgram(SyncCommand(m, collective, workers, json), std::filesystem::current_path(),
               folder.path() / "log", kTimeLimit);
    for (SyncPoint& point : ReadSyncPoints(json)) {
      point.source = fmt::format("bench sync of {} with {}", collective, workers);
      if (point.collective != collective || point.workers != workers) {
        throw StatusError(StatusCode::kCorrupt, fmt::format("{} reports {} with {}", point.source,
                                                            point.collective, point.workers));
      }
      take(std::move(point));
    }
  }
}

}  // namespace cddp
