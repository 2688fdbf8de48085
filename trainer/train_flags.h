// The flags that fill TrainOptions, in groups that commands share. `o` must outlive the app.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "trainer/options.h"

namespace cddp {

// "a, b, c": for the help of what takes one of these.
std::string OneOf(const std::vector<std::string>& names);

void AddModelOptions(CLI::App* app, TrainOptions* o);         // what is trained
void AddOptimisationOptions(CLI::App* app, TrainOptions* o);  // and how
void AddCompressOption(CLI::App* app, TrainOptions* o);       // whether gradients are compressed
void AddCompressionOptions(CLI::App* app, TrainOptions* o);   // and how
void AddLaunchOptions(CLI::App* app, TrainOptions* o);        // how several synchronise
void AddWorkerOptions(CLI::App* app, TrainOptions* o);        // among them: where they meet
void AddReportOptions(CLI::App* app, TrainOptions* o);
void AddTrainingOptions(CLI::App* app, TrainOptions* o);  // what train and compare have in common
void AddCheckpointOptions(CLI::App* app, TrainOptions* o);

}  // namespace cddp
