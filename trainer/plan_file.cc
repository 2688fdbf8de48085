#include "trainer/plan_file.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

constexpr int kPlanVersion = 1;
constexpr uint64_t kMostPlanBytes = 64 << 20;

Way WayOf(const nlohmann::json& name) {
  Way way;
  ThrowIfError(ParseWay(name.get<std::string>(), &way));
  return way;
}

}  // namespace

nlohmann::json ToJson(const Plan& plan) {
  nlohmann::json changes = nlohmann::json::array();
  for (const PlanChange& change : plan.changes) {
    std::vector<std::string> ways;
    for (const Way way : change.ways) ways.emplace_back(WayName(way));
    changes.push_back({{"step", change.step}, {"ways", ways}});
  }
  return {{"version", kPlanVersion},
          {"world_size", plan.world_size},
          {"first", std::string(WayName(plan.first))},
          {"bucket_elements", plan.elements},
          {"changes", changes}};
}

Plan ReadPlan(const std::string& path) {
  const std::vector<uint8_t> bytes = ReadFileBytes(path, kMostPlanBytes);
  // What is no JSON at all is no plan either.
  return PlanFromJson(nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false), path);
}

Plan PlanFromJson(const nlohmann::json& json, const std::string& source) {
  const auto corrupt = [&](const std::string& why) {
    return StatusError(StatusCode::kCorrupt, fmt::format("plan {}: {}", source, why));
  };
  if (json.is_discarded()) throw corrupt("it is not JSON");
  try {
    if (const int version = json.at("version"); version != kPlanVersion) {
      throw corrupt(fmt::format("version {} expected, got {}", kPlanVersion, version));
    }
    Plan plan{.world_size = json.at("world_size"),
              .first = WayOf(json.at("first")),
              .elements = json.at("bucket_elements")};
    for (const nlohmann::json& change : json.at("changes")) {
      plan.changes.push_back({.step = change.at("step")});
      for (const nlohmann::json& way : change.at("ways")) {
        plan.changes.back().ways.push_back(WayOf(way));
      }
    }
    return plan;
  } catch (const nlohmann::json::exception& error) {
    throw corrupt(error.what());
  } catch (const StatusError& error) {
    if (error.code() != StatusCode::kInvalidArgument) throw;
    throw corrupt(error.what());
  }
}

}  // namespace cddp
