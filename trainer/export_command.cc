#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "trainer/checkpoint_folder.h"
#include "trainer/commands.h"
#include "trainer/safetensors.h"

namespace cddp {

int ExportCommand(const std::string& checkpoint, const std::string& output) {
  const std::filesystem::path found = LocateCheckpoint(
      checkpoint, [](const std::string& why) { spdlog::warn("damaged checkpoint: {}", why); });
  const Safetensors model = Safetensors::Read(ModelFile(found));
  // As PyTorch's own writer marks its files.
  WriteSafetensors(output, model.tensors(), {{"format", "pt"}});
  spdlog::info("{} tensors of {} written to {}", model.tensors().size(), found.string(), output);
  return 0;
}

}  // namespace cddp
