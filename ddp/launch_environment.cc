#include "ddp/launch_environment.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "cddp/status.h"

namespace cddp {
namespace {

constexpr int kMaxWorld = 65'536;  // ranks are 16 bits wide in a frame

std::optional<int> Number(const char* name, int low, int high) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < low || value > high) {
    throw StatusError(
        StatusCode::kInvalidArgument,
        fmt::format("environment variable {} must be a number from {} to {}, got \"{}\"", name, low,
                    high, text));
  }
  return value;
}

}  // namespace

LaunchEnvironment ReadLaunchEnvironment() {
  LaunchEnvironment launch;
  const std::optional<int> world = Number("WORLD_SIZE", 1, kMaxWorld);
  const std::optional<int> rank = Number("RANK", 0, world.value_or(kMaxWorld) - 1);
  if (world.has_value() != rank.has_value()) {
    const bool have_rank = rank.has_value();
    throw StatusError(
        StatusCode::kInvalidArgument,
        fmt::format("environment variable {} is set but {} is not: start the workers "
                    "with torchrun or with --workers N, or set both",
                    have_rank ? "RANK" : "WORLD_SIZE", have_rank ? "WORLD_SIZE" : "RANK"));
  }
  launch.world_size = world.value_or(1);
  launch.rank = rank.value_or(0);
  launch.local_world_size = Number("LOCAL_WORLD_SIZE", 1, launch.world_size).value_or(1);
  launch.master_port = Number("MASTER_PORT", 1, 65'535).value_or(launch.master_port);
  launch.restart_count = Number("TORCHELASTIC_RESTART_COUNT", 0, 1 << 30).value_or(0);
  if (const char* address = std::getenv("MASTER_ADDR")) launch.master_address = address;
  if (const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE")) {
    launch.agent_store = std::string_view(agent) == "True";
  }
  return launch;
}

}  // namespace cddp
