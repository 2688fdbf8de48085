#include <fmt/format.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fstream>
#include <thread>

#include "core/sweep.h"
#include "trainer/commands.h"
#include "trainer/history.h"

namespace cddp {
namespace {

std::string ProcessorName() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

int InfoCommand(const std::string& json) {
  const bool cuda = torch::cuda::is_available();
  const nlohmann::json report = {
      {"cddp", CDDP_VERSION},
      {"libtorch", TORCH_VERSION},
      {"compiler", __VERSION__},
      {"processor", ProcessorName()},
      {"cores", std::thread::hardware_concurrency()},
      {"simd", SweepTarget()},
      {"devices",
       cuda ? nlohmann::json{"cpu", "cuda (not used by this version)"} : nlohmann::json{"cpu"}},
      {"backends", {"gloo"}}};
  if (json == "-") {
    WriteJsonReport(json, report);
    return 0;
  }
  for (const auto& [key, value] : report.items()) {
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (value.is_array()) {
      text.clear();
      for (const auto& item : value) text += (text.empty() ? "" : ", ") + item.get<std::string>();
    }
    fmt::print("{:<10} {}\n", key, text);
  }
  fmt::print("\n{}\n", at::get_parallel_info());
  WriteJsonReport(json, report);
  return 0;
}

}  // namespace cddp
