#include "trainer/subcommands.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <iostream>

#include "bench/accuracy_bench.h"
#include "bench/data_bench.h"
#include "bench/scaling_command.h"
#include "bench/select_bench.h"
#include "bench/sync_bench.h"
#include "bench/wire_bench.h"
#include "cddp/status.h"
#include "ddp/launch_environment.h"
#include "trainer/commands.h"
#include "trainer/compare_command.h"
#include "trainer/data/catalog.h"
#include "trainer/data/data_command.h"
#include "trainer/device.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/number_range.h"
#include "trainer/plots/plot_command.h"
#include "trainer/report/report_command.h"
#include "trainer/test_command.h"
#include "trainer/train_flags.h"

namespace cddp {
namespace {

using Arguments = std::vector<std::string>;

// Ranks other than 0 speak up only in trouble. Throws StatusError(kInvalidArgument).
void SetLogLevel(const std::string& level) {
  RequireName("log level", level, LogLevelNames());
  const LaunchEnvironment launch = ReadLaunchEnvironment();
  auto threshold = spdlog::level::from_str(level);
  if (launch.rank != 0 && threshold < spdlog::level::err) threshold = spdlog::level::err;
  spdlog::set_level(threshold);
  spdlog::set_pattern(launch.world_size > 1
                          ? fmt::format("%^%L%$ %H:%M:%S [rank {}] %v", launch.rank)
                          : "%^%L%$ %H:%M:%S %v");
}

// Once: a process that starts local workers leaves it to them.
void LogSkipped(const ConfigArguments& config, int workers_to_start) {
  if (workers_to_start > 1 && ReadLaunchEnvironment().launcher.empty()) return;
  for (const std::string& line : config.skipped) spdlog::info("{}", line);
}

int Print(const std::string& text) {
  std::cout << text;
  return 0;
}

Command AddTrainCommand(CLI::App* app, const Arguments& arguments) {
  const auto options = std::make_shared<TrainOptions>();
  const auto config = std::make_shared<ConfigArguments>();
  CLI::App* command = app->add_subcommand("train", "Train a model");
  command->footer(
      "Examples:\n"
      "  cddp train                                  one worker\n"
      "  cddp train --workers 2 --compress           two workers, the top 1% is sent\n"
      "  cddp train --config configs/compressed.yaml --set ratio=0.001 --epochs 5\n"
      "  mpirun -n 2 cddp train --compress           the same with Open MPI or MPICH\n"
      "  srun -N 2 -n 4 cddp train --compress        four workers on two machines of Slurm\n"
      "  torchrun --no-python --nproc-per-node 2 cddp train --compress --ratio 0.001\n"
      "  torchrun --no_python -r 9:1 -t 9:1 --nproc_per_node 2 cddp train --compress\n"
      "                                              the same with Debian 12's torchrun\n"
      "  cddp train --checkpoint-dir run1 --resume auto\n"
      "                                              starts, and goes on after an interruption");
  AddTrainingOptions(command, options.get());
  command
      ->add_option("--record-gradients", options->record_gradients,
                   "Write rank 0's gradients, as they are before compression, to this file: for "
                   "cddp bench select --gradients FILE")
      ->group("Output");
  command
      ->add_option("--record-every", options->record_every,
                   "Steps from one recorded step to the next; at most 50 are recorded")
      ->group("Output");
  AddCompressOption(command, options.get());
  AddCheckpointOptions(command, options.get());
  AddConfigOptions(command, config.get());
  const auto run = [options, config, &arguments] {
    Resolve(*options, PresentDevices());
    if (config->print) return Print(ToYaml(*options));
    SetLogLevel(options->log_level);
    LogSkipped(*config, options->workers);
    return TrainCommand(*options, arguments);
  };
  return {command, run, config};
}

Command AddCompareCommand(CLI::App* app, const Arguments& arguments) {
  const auto options = std::make_shared<CompareOptions>();
  const auto config = std::make_shared<ConfigArguments>();
  CLI::App* command =
      app->add_subcommand("compare", "Run the same training dense and compressed; print one table");
  AddTrainingOptions(command, &options->run);
  AddCompareOptions(command, options.get());
  AddConfigOptions(command, config.get());
  command->footer(
      "Examples:\n"
      "  cddp compare --workers 2                    dense, and the top 1%\n"
      "  cddp compare --workers 4 --baseline --ratios 0.1,0.01,0.001\n"
      "                                              one worker, four dense, four at each ratio");
  const auto run = [options, config, &arguments] {
    TrainOptions resolved = options->run;
    Resolve(resolved, PresentDevices());
    if (config->print) return Print(ToYaml(*options));
    SetLogLevel(resolved.log_level);
    LogSkipped(*config, resolved.workers);
    return CompareCommand(*options, arguments);
  };
  return {command, run, config};
}

Command AddTestCommand(CLI::App* app, const Arguments& arguments) {
  const auto options = std::make_shared<TestOptions>();
  CLI::App* command = app->add_subcommand(
      "test", "Evaluate a checkpoint: report of the classes, confusions, calibration, pictures");
  AddTestOptions(command, options.get());
  const auto run = [options, &arguments] {
    SetLogLevel(options->run.log_level);
    return TestCommand(*options, arguments);
  };
  return {command, run};
}

Command AddPlotCommand(CLI::App* app) {
  const auto folders = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app->add_subcommand("plot", "Draw the pictures of run folders, by gnuplot, into them");
  command->add_option("folder", *folders, "Folders of train, test and compare")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return {command, [folders] { return PlotCommand(*folders); }};
}

Command AddReportCommand(CLI::App* app) {
  const auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      app->add_subcommand("report", "Runs as one page of HTML, with curves to hover and zoom");
  command->add_option("run", options->runs, "Folders of train and compare")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--output", options->output,
                      "The page (empty: report.html in the first folder)");
  return {command, [options] { return ReportCommand(*options); }};
}

Command AddScalingCommand(CLI::App* app) {
  const auto options = std::make_shared<ScalingOptions>();
  CLI::App* command = app->add_subcommand(
      "scaling", "Speed-up, efficiency and cost with more workers, measured and projected");
  AddScalingOptions(command, options.get());
  return {command, [options] { return Scaling(*options); }};
}

std::vector<Command> AddDataCommands(CLI::App* app) {
  const auto folder = std::make_shared<std::string>("data");
  const auto names = std::make_shared<std::vector<std::string>>();
  const auto offline = std::make_shared<bool>(false);
  CLI::App* data = app->add_subcommand("data", "List, fetch or verify data sets");
  data->require_subcommand(1);
  data->add_option("--data-dir", *folder, "Folder of the data sets");
  CLI::App* list = data->add_subcommand("list", "Known data sets and what is on disk");
  CLI::App* fetch = data->add_subcommand("fetch", "Get data sets (default: all)");
  CLI::App* verify = data->add_subcommand(
      "verify", "Check files against their SHA-256 (default: of the data sets that are there)");
  for (CLI::App* sub : {list, fetch, verify}) sub->fallthrough();
  for (CLI::App* sub : {fetch, verify}) {
    sub->add_option("dataset", *names, OneOf(DatasetNames()))
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  fetch->add_flag("--offline", *offline, "Use only what lies in the data folder");
  const auto chosen = [names] { return names->empty() ? DatasetNames() : *names; };
  return {{list,
           [folder] {
             ListDatasets(*folder, std::cout);
             return 0;
           }},
          {fetch,
           [folder, offline, chosen] {
             FetchDatasets(chosen(), *folder, std::cerr, isatty(STDERR_FILENO) != 0, *offline);
             return 0;
           }},
          {verify, [folder, names] {
             return VerifyDatasets(*names, *folder, std::cout) ? 0 : ExitCode(StatusCode::kCorrupt);
           }}};
}

Command AddValidateCommand(CLI::App* app, const Arguments& arguments) {
  const auto options = std::make_shared<TrainOptions>();
  CLI::App* command =
      app->add_subcommand("validate", "Check this build on this machine (under 30 s)");
  command->add_option("--json", options->json, "Write the result as JSON (-: standard output)");
  command->add_option("--rendezvous", options->rendezvous)->take_last()->group("");
  command->add_option("--log-level", options->log_level,
                      "trace, debug, info, warning, error or off");
  const auto run = [options, &arguments] {
    Resolve(*options, PresentDevices());
    SetLogLevel(options->log_level);
    return ValidateCommand(*options, arguments);
  };
  return {command, run};
}

Command AddExportCommand(CLI::App* app) {
  const auto checkpoint = std::make_shared<std::string>(), output = std::make_shared<std::string>();
  CLI::App* command =
      app->add_subcommand("export", "Write a checkpoint's weights as a safetensors file");
  command
      ->add_option("--checkpoint", *checkpoint,
                   "A checkpoint, or a folder of them or of a run: then the newest whole one")
      ->required();
  command->add_option("--output", *output, "The file, such as weights.safetensors")->required();
  return {command, [checkpoint, output] { return ExportCommand(*checkpoint, *output); }};
}

Command AddInfoCommand(CLI::App* app) {
  const auto json = std::make_shared<std::string>();
  CLI::App* command = app->add_subcommand("info", "Versions, processor, devices, backends");
  command->add_option("--json", *json, "Write as JSON to this file (-: standard output)");
  return {command, [json] { return InfoCommand(*json); }};
}

Command AddSelectBench(CLI::App* bench) {
  const auto options = std::make_shared<SelectBenchOptions>();
  CLI::App* command =
      bench->add_subcommand("select", "Selection against memory speed and other methods");
  AddSelectBenchOptions(command, options.get());
  return {command, [options] { return SelectBench(*options); }};
}

Command AddWireBench(CLI::App* bench) {
  const auto options = std::make_shared<WireBenchOptions>();
  CLI::App* command =
      bench->add_subcommand("wire", "Bits per entry on the wire, encoding and decoding");
  AddWireBenchOptions(command, options.get());
  return {command, [options] { return WireBench(*options); }};
}

Command AddAccuracyBench(CLI::App* bench) {
  const auto options = std::make_shared<TrainOptions>();
  const auto config = std::make_shared<ConfigArguments>();
  options->workers = 8;
  options->batch_size = 16;
  CLI::App* command = bench->add_subcommand(
      "accuracy", "What compression costs in accuracy: workers take turns in one process");
  AddModelOptions(command, options.get());
  AddOptimisationOptions(command, options.get());
  AddCompressOption(command, options.get());
  AddCompressionOptions(command, options.get());
  AddReportOptions(command, options.get());
  AddConfigOptions(command, config.get());
  command->add_option("--workers", options->workers, "Workers, without a network")
      ->check(NumberRange(1, 1024))
      ->group("Running");
  command->footer(
      "Examples:\n"
      "  cddp bench accuracy                                   dense\n"
      "  cddp bench accuracy --compress --ratio 0.001          with the largest 0.1%\n"
      "  scripts/accuracy_study.py memory                      memories over paired seeds\n"
      "Without a network there are no times to choose by: --collective auto is gather here.");
  const auto run = [options, config] {
    if (options->compress && options->collective == "auto") options->collective = "gather";
    Resolve(*options, PresentDevices());
    if (config->print) return Print(ToYaml(*options, "bench accuracy"));
    SetLogLevel(options->log_level);
    LogSkipped(*config, /*workers_to_start=*/0);
    return AccuracyBench(*options);
  };
  return {command, run, config};
}

Command AddDataBench(CLI::App* bench) {
  const auto options = std::make_shared<TrainOptions>();
  CLI::App* command = bench->add_subcommand(
      "data", "Loading and augmenting: samples per second of one thread, without a model");
  AddDataBenchOptions(command, options.get());
  const auto run = [options] {
    ResolveData(*options);
    return DataBench(*options);
  };
  return {command, run};
}

Command AddSyncBench(CLI::App* bench, const Arguments& arguments) {
  const auto options = std::make_shared<SyncBenchOptions>();
  options->run.compress = true;
  CLI::App* command = bench->add_subcommand(
      "sync", "Synchronise the gradients of a model over a network: time and bytes");
  AddSyncBenchOptions(command, options.get());
  AddCompressionOptions(command, &options->run);
  AddLaunchOptions(command, &options->run);
  AddReportOptions(command, &options->run);
  const auto run = [options, &arguments] {
    // So that the same flags measure it beside the others.
    if (options->run.collective == "dense") options->run = WithoutCompression(options->run);
    Resolve(options->run);
    SetLogLevel(options->run.log_level);
    return SyncBench(*options, arguments);
  };
  return {command, run};
}

}  // namespace

std::vector<Command> AddCommands(CLI::App* app, const Arguments& arguments) {
  std::vector<Command> commands{AddTrainCommand(app, arguments), AddCompareCommand(app, arguments),
                                AddTestCommand(app, arguments),  AddPlotCommand(app),
                                AddReportCommand(app),           AddScalingCommand(app)};
  for (Command& command : AddDataCommands(app)) commands.push_back(std::move(command));
  commands.push_back(AddValidateCommand(app, arguments));
  commands.push_back(AddExportCommand(app));
  commands.push_back(AddInfoCommand(app));
  CLI::App* bench = app->add_subcommand("bench", "Measure this build on this machine");
  bench->require_subcommand(1);
  for (const Command& command :
       {AddSelectBench(bench), AddWireBench(bench), AddAccuracyBench(bench), AddDataBench(bench),
        AddSyncBench(bench, arguments)}) {
    commands.push_back(command);
  }
  return commands;
}

}  // namespace cddp
