#include <fmt/format.h>
#include <torch/torch.h>

#include <string>

#include "ddp/device_transport.h"
#include "trainer/commands.h"
#include "trainer/device.h"
#include "trainer/machine.h"
#include "trainer/report_file.h"

namespace cddp {

int InfoCommand(const std::string& json) {
  nlohmann::json report = MachineDescription();
  report["devices"] = NamesOf(PresentDevices());
  report["backends"] = nlohmann::json::array({"gloo"});
  if (HasNccl()) report["backends"].push_back("nccl");
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
