// The program `cddp`: its command line.
#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "cddp/status.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/number_range.h"
#include "trainer/subcommands.h"

namespace cddp {
namespace {

// The flags of the subcommand that was meant, for "did you mean".
std::vector<std::string> KnownNames(const CLI::App& app) {
  std::vector<std::string> names;
  const auto add = [&](const CLI::App& from) {
    for (const CLI::Option* option : from.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  add(app);
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (app.get_subcommands().empty()) names.push_back(sub->get_name());
    if (sub->parsed()) {
      add(*sub);
      for (const CLI::App* action : sub->get_subcommands({})) {
        if (sub->get_subcommands().empty()) names.push_back(action->get_name());
        if (action->parsed()) add(*action);
      }
    }
  }
  return names;
}

int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  std::string message = error.what();
  // A mistyped subcommand shows as a missing one.
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
      dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
    if (!extras.empty()) {
      const std::string name = extras.front().substr(0, extras.front().find('='));
      const std::string nearest = NearestName(name, KnownNames(app));
      message = fmt::format("unknown argument {}{}", name,
                            nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest));
    }
  }
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    message += ": a number is needed, of some options a whole one";
  }
  std::cerr << "cddp: " << message << "\nRun with --help for what there is.\n";
  return 2;
}

// Each step frees and takes the same tensors: giving their pages back to the system
// in between costs an eighth of the training time of a small model.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

// CLI11 would join the lists.
void LetTheLastListHold(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) {
    const bool is_list = option->get_items_expected_max() > 1 && !option->get_positional();
    if (is_list && option->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll) {
      option->trigger_on_parse();
    }
  }
  for (CLI::App* sub : app->get_subcommands({})) LetTheLastListHold(sub);
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  // Standard output is for results.
  spdlog::set_default_logger(spdlog::stderr_color_mt("cddp"));
  spdlog::set_pattern("%^%L%$ %H:%M:%S %v");
  CLI::App app{"Data-parallel training over slow networks with Top-K gradient compression."};
  app.set_version_flag("--version", CDDP_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.option_defaults()->always_capture_default();
  // A script's option can be overridden behind it.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const std::vector<std::string> arguments(argv, argv + argc);
  const std::vector<Command> commands = AddCommands(&app, arguments);
  LetTheLastListHold(&app);
  RequireDecimals(&app);

  const Command* chosen = nullptr;
  try {
    app.parse(argc, argv);
    chosen = &*std::ranges::find_if(commands, [](const Command& c) { return c.app->parsed(); });
    // Flags go before what a file says: they are parsed again over it.
    if (chosen->config &&
        ApplyConfig(chosen->config.get(), chosen->app, ConfigKeys(*commands.front().app))) {
      app.parse(argc, argv);
    }
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  } catch (const StatusError& error) {
    return ReportFailure(error.status());
  }
  try {
    return chosen->run();
  } catch (const StatusError& error) {
    return ReportFailure(error.status());
  } catch (const std::exception& error) {
    return ReportFailure(Status::Internal(error.what()));
  }
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) {
  int code = cddp::Main(argc, argv);
  const bool said = std::cout.flush().good() && std::fflush(stdout) == 0 && !std::ferror(stdout);
  if (!said && code == 0) {
    code = cddp::ReportFailure(
        {cddp::StatusCode::kUnavailable, "standard output took not all that was written to it"});
  }
  // Without what the libraries would tidy up, a fifth of the time of a short command.
  spdlog::shutdown();
  std::fflush(nullptr);
  std::_Exit(code);
}
