#include "bench/scaling_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;
constexpr double kMaxWorkers = 1 << 20;

constexpr std::array kSharedKeys = {"shapes", "rate"};
constexpr std::array kKeysOfCollective = {"ratio", "values", "memory"};

[[noreturn]] void Corrupt(const std::string& source, const std::string& message) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", source, message));
}

const nlohmann::json& Need(const nlohmann::json& row, const char* key, const std::string& source) {
  const auto it = row.find(key);
  if (it == row.end()) {
    Corrupt(source,
            fmt::format("the key \"{}\" is missing; a report of cddp bench sync has it", key));
  }
  return *it;
}

double Number(const nlohmann::json& row, const char* key, double low, const std::string& source) {
  const nlohmann::json& value = Need(row, key, source);
  if (!value.is_number()) {
    Corrupt(source, fmt::format("\"{}\" must be a number, got {}", key, value.dump()));
  }
  const double number = value.get<double>();
  if (!(number >= low)) {
    Corrupt(source, fmt::format("\"{}\" must be at least {}, got {}", key, low, value.dump()));
  }
  return number;
}

double AboveZero(const nlohmann::json& row, const char* key, const std::string& source) {
  const double number = Number(row, key, 0, source);
  if (number == 0) Corrupt(source, fmt::format("\"{}\" must be above 0, got 0", key));
  return number;
}

int64_t Whole(const nlohmann::json& row, const char* key, double high, const std::string& source) {
  const double number = Number(row, key, 1, source);
  if (!row.at(key).is_number_integer() || number > high) {
    Corrupt(source, fmt::format("\"{}\" must be a whole number from 1 to {:.0f}, got {}", key, high,
                                row.at(key).dump()));
  }
  return row.at(key).get<int64_t>();
}

SyncPoint ParsePoint(const nlohmann::json& row, const std::string& source) {
  if (!row.is_object()) Corrupt(source, fmt::format("expected an object, got {}", row.dump()));
  SyncPoint point{.source = source, .report = row};
  const nlohmann::json& collective = Need(row, "collective", source);
  if (!collective.is_string()) {
    Corrupt(source, fmt::format("\"collective\" must be a string, got {}", collective.dump()));
  }
  point.collective = collective.get<std::string>();
  RequireName(fmt::format("{}: collective", source), point.collective, ScalingCollectives());
  point.workers = static_cast<int>(Whole(row, "world_size", kMaxWorkers, source));
  point.parameters = Whole(row, "parameters", 1e15, source);
  point.step_ms = AboveZero(row, "step_ms_median", source);
  point.compute_ms = Number(row, "compute_ms", 0, source);
  const auto exchanged = point.workers > 1
                             ? AboveZero
                             : [](const nlohmann::json& r, const char* k, const std::string& s) {
                                 return Number(r, k, 0, s);
                               };
  point.sync_ms = exchanged(row, "sync_ms_median", source);
  point.tx_bytes = exchanged(row, "tx_bytes_per_step", source);
  return point;
}

void RequireSame(const SyncPoint& a, const SyncPoint& b, const char* key) {
  const auto of_a = a.report.find(key);
  const auto of_b = b.report.find(key);
  if (of_a == a.report.end() || of_b == b.report.end() || *of_a == *of_b) return;
  throw StatusError(StatusCode::kInvalidArgument,
                    fmt::format("points that differ in \"{}\" do not go together: {} has {}, {} "
                                "has {}",
                                key, a.source, of_a->dump(), b.source, of_b->dump()));
}

}  // namespace

const std::vector<std::string>& ScalingCollectives() {
  static const std::vector<std::string> kNames = {"dense", "gather", "split", "auto"};
  return kNames;
}

std::vector<SyncPoint> ParseSyncPoints(const nlohmann::json& report, const std::string& source) {
  if (!report.is_object() || !report.contains("rows")) return {ParsePoint(report, source)};
  const nlohmann::json& rows = report["rows"];
  if (!rows.is_array() || rows.empty()) {
    Corrupt(source, "\"rows\" must be an array with one row or more");
  }
  nlohmann::json shared = report;
  shared.erase("rows");
  std::vector<SyncPoint> points;
  for (size_t i = 0; i < rows.size(); ++i) {
    nlohmann::json row = rows[i];
    if (row.is_object()) {
      row = shared;
      row.update(rows[i]);
    }
    points.push_back(ParsePoint(row, fmt::format("{}, row {}", source, i + 1)));
  }
  return points;
}

std::vector<SyncPoint> ReadSyncPoints(const std::string& file) {
  const std::vector<uint8_t> bytes = ReadFileBytes(file, kMaxFileBytes);
  nlohmann::json report;
  try {
    report = nlohmann::json::parse(bytes);
  } catch (const nlohmann::json::exception& error) {
    Corrupt(file, fmt::format("no JSON: {}", error.what()));
  }
  return ParseSyncPoints(report, file);
}

void RequireComparable(const std::vector<SyncPoint>& points) {
  if (points.empty()) throw StatusError(StatusCode::kInvalidArgument, "there are no points");
  std::map<std::string, const SyncPoint*> first_of;
  std::map<std::string, std::set<int>> workers;
  for (const SyncPoint& point : points) {
    RequireSame(points.front(), point, "parameters");
    for (const char* key : kSharedKeys) RequireSame(points.front(), point, key);
    const SyncPoint* first = first_of.emplace(point.collective, &point).first->second;
    for (const char* key : kKeysOfCollective) RequireSame(*first, point, key);
    if (point.workers > 1) workers[point.collective].insert(point.workers);
  }
  if (workers.empty()) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("no point has more than one worker ({})", points.front().source));
  }
  for (const auto& [collective, counts] : workers) {
    if (counts.size() >= 2) continue;
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("collective {} has points at one number of workers above 1 only, "
                                  "{} ({}); a model of it needs two or more, such as 2 and 4",
                                  collective, *counts.begin(), first_of[collective]->source));
  }
}

}  // namespace cddp
