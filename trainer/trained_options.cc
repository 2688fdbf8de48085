#include "trainer/trained_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <set>

#include "cddp/status.h"
#include "trainer/shared_state.h"
#include "trainer/train_flags.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kFlags = {"--model",   "--stem",  "--channels-last", "--layers",
                                      "--heads",   "--width", "--dataset",       "--tokens",
                                      "--context", "--amp",   "--batch-size",    "--seed"};

}  // namespace

TrainedSoFar ReadTrainedOptions(const fs::path& checkpoint, TrainOptions* options) {
  const SharedState state = ReadSharedState(checkpoint);
  const auto corrupt = [&](const std::string& what) {
    return StatusError(StatusCode::kCorrupt,
                       fmt::format("{}: {}", SharedStateFile(checkpoint).string(), what));
  };
  std::vector<std::string> arguments;
  for (const auto& [flag, value] : state.configuration) {
    const bool unset = value.empty() || value == "0";
    if (kFlags.contains(flag) && !unset) arguments.push_back(flag + '=' + value);
  }
  if (!state.configuration.contains("--model")) throw corrupt("does not say which model it is of");
  CLI::App app;
  AddModelOptions(&app, options);
  AddOptimisationOptions(&app, options);
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    throw corrupt(error.what());
  }
  const auto history = state.loop.find("history");
  if (history == state.loop.end()) throw corrupt("does not say how far training had come");
  return {.epochs = static_cast<int>(history->size()),
          .steps = state.step,
          .data_sha256 = state.data_sha256};
}

fs::path FolderOfRun(const fs::path& checkpoint) {
  fs::path whole = fs::absolute(checkpoint).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // a slash at its end
  const fs::path beside = whole.parent_path();
  const fs::path run = beside.parent_path();
  const bool in_run = beside.filename() == "checkpoints" && fs::exists(run / "config.json");
  const fs::path folder = in_run ? run : beside;
  return checkpoint.is_absolute() ? folder : folder.lexically_proximate(fs::current_path());
}

}  // namespace cddp
