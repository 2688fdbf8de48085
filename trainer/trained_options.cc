#include "trainer/trained_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <set>

#include "cddp/status.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/data/file_bytes.h"
#include "trainer/train_flags.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kFlags = {"--model",   "--stem",  "--channels-last", "--layers",
                                      "--heads",   "--width", "--dataset",       "--tokens",
                                      "--context", "--amp",   "--batch-size",    "--seed"};

}  // namespace

TrainedSoFar ReadTrainedOptions(const fs::path& checkpoint, TrainOptions* options) {
  const fs::path file = StateFile(checkpoint);
  const auto corrupt = [&](const std::string& what) {
    return StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", file.string(), what));
  };
  TrainedSoFar so_far;
  std::map<std::string, std::string> configuration;
  try {
    const auto state = nlohmann::json::parse(ReadFileBytes(file, kMaxStateBytes));
    configuration = state.at("configuration");
    so_far.steps = state.at("step");
    so_far.data_sha256 = state.value("data_sha256", "");
    so_far.epochs = static_cast<int>(state.at("loop").at("history").size());
  } catch (const nlohmann::json::exception& error) {
    throw corrupt(error.what());
  }
  std::vector<std::string> arguments;
  for (const auto& [flag, value] : configuration) {
    const bool unset = value.empty() || value == "0";
    if (kFlags.contains(flag) && !unset) arguments.push_back(flag + '=' + value);
  }
  if (!configuration.contains("--model")) throw corrupt("does not say which model it is of");
  CLI::App app;
  AddModelOptions(&app, options);
  AddOptimisationOptions(&app, options);
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    throw corrupt(error.what());
  }
  return so_far;
}

fs::path FolderOfRun(const fs::path& checkpoint) {
  const fs::path beside = checkpoint.parent_path();
  const fs::path run = beside.parent_path();
  return beside.filename() == "checkpoints" && fs::exists(run / "config.json") ? run : beside;
}

}  // namespace cddp
