#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "core/sweep.h"
#include "trainer/commands.h"
#include "trainer/history.h"
#include "trainer/versions.h"

namespace cddp {
namespace {

// The value of the first line with one of these names; empty when there is none.
std::string FromCpuInfo(std::initializer_list<std::string_view> names) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto named = [&](std::string_view name) { return line.starts_with(name); };
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && std::ranges::any_of(names, named)) {
      return line.substr(colon + 2);
    }
  }
  return "";
}

// Those that decide which kernels run, here and in libtorch.
std::vector<std::string> ProcessorFeatures() {
  static const std::set<std::string> kThatMatter = {
      "sse4_1",      "avx",      "f16c",     "fma",      "avx2",        "bmi2",
      "avx512f",     "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16",
      "avx512_fp16", "amx_bf16", "asimd",    "sve",      "sve2"};
  std::istringstream all(FromCpuInfo({"flags", "Features"}));
  std::vector<std::string> features;
  for (std::string feature; all >> feature;) {
    if (kThatMatter.contains(feature)) features.push_back(feature);
  }
  return features;
}

}  // namespace

int InfoCommand(const std::string& json) {
  const bool cuda = torch::cuda::is_available();
  const std::string processor = FromCpuInfo({"model name"});
  nlohmann::json report = Versions();
  report["processor"] = processor.empty() ? "unknown" : processor;
  report["cores"] = std::thread::hardware_concurrency();
  report["cpu_features"] = ProcessorFeatures();
  report["simd"] = SweepTarget();
  report["devices"] = {"cpu"};
  if (cuda) report["devices"].push_back("cuda (not used by this version)");
  report["backends"] = {"gloo"};
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
    fmt::print("{:<13} {}\n", key, text);
  }
  fmt::print("\n{}\n", at::get_parallel_info());
  WriteJsonReport(json, report);
  return 0;
}

}  // namespace cddp
