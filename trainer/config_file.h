// YAML configurations: values of a command's options from a file (--config) and from
// --set KEY=VALUE. Keys are the names of the flags, with '_' or '-' between words; values
// are scalars, lists of scalars for options that take several, true or false for switches:
//
//   model: resnet18
//   compress: true
//   milestones: [5, 8]
//
// --set goes before the file, a flag before both. The options are those that the command
// declares: there is no second list of them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

struct ConfigArguments {
  std::string file;                   // --config
  std::vector<std::string> settings;  // --set
  bool print = false;                 // --print-config

  // What ApplyConfig has to say, for the log.
  std::vector<std::string> skipped;
};

// Adds --config, --set and --print-config to `app`; the caller carries out the last one.
void AddConfigOptions(CLI::App* app, ConfigArguments* arguments);

// The names of the options of `app` that a file may set.
std::vector<std::string> ConfigKeys(const CLI::App& app);

// Gives the variables behind the options of `app` the values of the file, then those of
// --set. To be called once the command line has been parsed, which is then to be parsed
// once more: so flags win. Keys of `elsewhere` that `app` lacks are skipped, with a line in
// arguments->skipped: so commands share their files. Returns false when there was nothing to
// apply.
//
// Throws StatusError: kUnavailable for a file that cannot be read; kInvalidArgument with
// file, line and column for what is no YAML, an unknown key (with the nearest one), a key
// that is there twice, or a value that the option does not take.
bool ApplyConfig(ConfigArguments* arguments, CLI::App* app,
                 const std::vector<std::string>& elsewhere);

// `options` as a file that `cddp COMMAND --config` reads: the same options again, and `more` of
// the command's own (name -> value). What is zero or empty unless set is left out, and where
// local workers have met.
std::string ToYaml(const TrainOptions& options, const std::string& command = "train",
                   const nlohmann::json& more = nlohmann::json::object());

}  // namespace cddp
