// The subcommands of `cddp`: their options, and what carries them out.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/config_file.h"

namespace cddp {

struct Command {
  CLI::App* app;  // was parsed when this is the one that was chosen
  // Returns the exit code or throws StatusError. Keeps what the options fill.
  std::function<int()> run;
  std::shared_ptr<ConfigArguments> config = nullptr;  // of those that read files
};

// Adds all to `app`; that of `train` comes first. `arguments`, the program's command line, must
// outlive what is returned.
std::vector<Command> AddCommands(CLI::App* app, const std::vector<std::string>& arguments);

}  // namespace cddp
