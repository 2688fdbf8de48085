#include "bench/scaling_points.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "cddp/plan.h"
#include "cddp/status.h"
#include "trainer/json_file.h"
#include "trainer/nearest_name.h"

namespace cddp {
namespace {

constexpr int kMaxWorldSize = 1 << 20;
constexpr int64_t kMaxParameters = 1'000'000'000'000'000;

constexpr std::array kSharedKeys = {"shapes", "rate"};
constexpr std::array kKeysOfCollective = {"ratio", "values", "memory"};

SyncPoint ParsePoint(const nlohmann::json& row, const std::string& source) {
  SyncPoint point{.source = source, .report = row};
  point.collective = Text(row, "collective", source);
  RequireName(fmt::format("{}: collective", source), point.collective, ScalingCollectives());
  point.workers = static_cast<int>(Whole(row, "world_size", 1, kMaxWorldSize, source));
  point.parameters = Whole(row, "parameters", 1, kMaxParameters, source);
  point.step_ms = NumberAbove(row, "step_ms_median", 0, source);
  point.compute_ms = NumberFrom(row, "compute_ms", 0, source);
  const auto exchanged = point.workers > 1 ? NumberAbove : NumberFrom;
  point.sync_ms = exchanged(row, "sync_ms_median", 0, source);
  point.tx_bytes = exchanged(row, "tx_bytes_per_step", 0, source);
  if (row.contains("rate")) point.link_mbit_s = LinkMbitS(Text(row, "rate", source), source);
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
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names = WayNames();
    names.emplace_back("auto");
    return names;
  }();
  return kNames;
}

std::optional<double> LinkMbitS(const std::string& rate, const std::string& where) {
  if (rate == "none") return std::nullopt;
  constexpr std::array<std::pair<const char*, double>, 3> kUnits = {
      {{"kbit", 1e-3}, {"mbit", 1}, {"gbit", 1e3}}};
  double number = 0;
  const char* end = rate.data() + rate.size();
  const std::from_chars_result read = std::from_chars(rate.data(), end, number);
  for (const auto& [unit, mbit_s] : kUnits) {
    if (std::string(read.ptr, end) == unit && number > 0 && std::isfinite(number)) {
      return number * mbit_s;
    }
  }
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("{}: a rate is a number with kbit, mbit or gbit, as 1gbit, or none, not \"{}\"",
                  where, rate));
}

std::vector<SyncPoint> ParseSyncPoints(const nlohmann::json& report, const std::string& source) {
  if (!report.is_object() || !report.contains("rows")) return {ParsePoint(report, source)};
  const nlohmann::json& rows = Array(report, "rows", source);
  if (rows.empty()) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: rows is empty", source));
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
  return ParseSyncPoints(ReadJsonFile(file), file);
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
