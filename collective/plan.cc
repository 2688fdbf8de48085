#include "cddp/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace cddp {
namespace {

constexpr std::array<std::string_view, kWays> kNames = {"dense", "gather", "split"};

}  // namespace

std::vector<std::string> WayNames() { return {kNames.begin(), kNames.end()}; }

std::string_view WayName(Way way) { return kNames[static_cast<size_t>(way)]; }

Status ParseWay(std::string_view name, Way* way) {
  for (size_t i = 0; i < kWays; ++i) {
    if (name != kNames[i]) continue;
    *way = static_cast<Way>(i);
    return Status::Ok();
  }
  return Status::InvalidArgument(
      fmt::format("unknown way \"{}\"; known: {}", name, fmt::join(kNames, ", ")));
}

}  // namespace cddp
