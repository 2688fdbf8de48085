#include "trainer/machine.h"

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/sweep.h"
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

nlohmann::json MachineDescription() {
  const std::string processor = FromCpuInfo({"model name"});
  nlohmann::json report = Versions();
  report["processor"] = processor.empty() ? "unknown" : processor;
  report["cores"] = std::thread::hardware_concurrency();
  report["cpu_features"] = ProcessorFeatures();
  report["simd"] = SweepTarget();
  return report;
}

}  // namespace cddp
