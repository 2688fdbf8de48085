// The program `cddp`: its command line.
#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <span>

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
#include "trainer/config_file.h"
#include "trainer/data/catalog.h"
#include "trainer/data/data_command.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/plots/plot_command.h"
#include "trainer/report/report_command.h"
#include "trainer/test_command.h"
#include "trainer/train_flags.h"

namespace cddp {
namespace {

// Ranks other than 0 speak up only in trouble.
void SetLogLevel(const std::string& level) {
  const LaunchEnvironment launch = ReadLaunchEnvironment();
  auto threshold = spdlog::level::from_str(level);
  if (launch.rank != 0 && threshold < spdlog::level::err) threshold = spdlog::level::err;
  spdlog::set_level(threshold);
  spdlog::set_pattern(launch.world_size > 1
                          ? fmt::format("%^%L%$ %H:%M:%S [rank {}] %v", launch.rank)
                          : "%^%L%$ %H:%M:%S %v");
}

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
  std::cerr << "cddp: " << message << "\nRun with --help for what there is.\n";
  return 2;
}

int Print(const std::string& text) {
  std::cout << text;
  return 0;
}

// Each step frees and takes the same tensors: giving their pages back to the system
// in between costs an eighth of the training time of a small model.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
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

  TrainOptions train;
  CLI::App* train_app = app.add_subcommand("train", "Train a model");
  train_app->footer(
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
  AddTrainingOptions(train_app, &train);
  train_app
      ->add_option("--record-gradients", train.record_gradients,
                   "Write rank 0's gradients, as they are before compression, to this file: for "
                   "cddp bench select --gradients FILE")
      ->group("Output");
  train_app
      ->add_option("--record-every", train.record_every,
                   "Steps from one recorded step to the next; at most 50 are recorded")
      ->group("Output");
  AddCompressOption(train_app, &train);
  AddCheckpointOptions(train_app, &train);
  ConfigArguments config;
  AddConfigOptions(train_app, &config);
  CompareOptions compare;
  CLI::App* compare_app =
      app.add_subcommand("compare", "Run the same training dense and compressed; print one table");
  AddTrainingOptions(compare_app, &compare.run);
  AddCompareOptions(compare_app, &compare);
  AddConfigOptions(compare_app, &config);
  compare_app->footer(
      "Examples:\n"
      "  cddp compare --workers 2                    dense, and the top 1%\n"
      "  cddp compare --workers 4 --baseline --ratios 0.1,0.01,0.001\n"
      "                                              one worker, four dense, four at each ratio");

  TestOptions test;
  CLI::App* test_app = app.add_subcommand(
      "test", "Evaluate a checkpoint: report of the classes, confusions, calibration, pictures");
  AddTestOptions(test_app, &test);

  std::vector<std::string> plotted;
  CLI::App* plot_app =
      app.add_subcommand("plot", "Draw the pictures of run folders, by gnuplot, into them");
  plot_app->add_option("folder", plotted, "Folders of train, test and compare")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);

  ReportOptions page;
  CLI::App* report_app =
      app.add_subcommand("report", "Runs as one page of HTML, with curves to hover and zoom");
  report_app->add_option("run", page.runs, "Folders of train and compare")
      ->required()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  report_app->add_option("--output", page.output,
                         "The page (empty: report.html in the first folder)");

  ScalingOptions scaling;
  CLI::App* scaling_app = app.add_subcommand(
      "scaling", "Speed-up, efficiency and cost with more workers, measured and projected");
  AddScalingOptions(scaling_app, &scaling);

  CLI::App* data_app = app.add_subcommand("data", "List, fetch or verify data sets");
  data_app->require_subcommand(1);
  std::string data_dir = "data";
  std::vector<std::string> datasets;
  bool offline = false;
  data_app->add_option("--data-dir", data_dir, "Folder of the data sets");
  CLI::App* list_app = data_app->add_subcommand("list", "Known data sets and what is on disk");
  CLI::App* fetch_app = data_app->add_subcommand("fetch", "Get data sets (default: all)");
  CLI::App* verify_app = data_app->add_subcommand("verify", "Check files against their SHA-256");
  for (CLI::App* sub : {list_app, fetch_app, verify_app}) sub->fallthrough();
  fetch_app->add_option("dataset", datasets, OneOf(DatasetNames()))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  fetch_app->add_flag("--offline", offline, "Use only what lies in the data folder");
  verify_app->add_option("dataset", datasets, OneOf(DatasetNames()))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);

  TrainOptions validate;
  CLI::App* validate_app =
      app.add_subcommand("validate", "Check this build on this machine (under 30 s)");
  validate_app->add_option("--json", validate.json,
                           "Write the result as JSON (-: standard output)");
  validate_app->add_option("--rendezvous", validate.rendezvous)->take_last()->group("");
  validate_app->add_option("--log-level", validate.log_level,
                           "trace, debug, info, warning, error or off");

  std::string checkpoint, exported;
  CLI::App* export_app =
      app.add_subcommand("export", "Write a checkpoint's weights as a safetensors file");
  export_app
      ->add_option("--checkpoint", checkpoint,
                   "A checkpoint, or a folder of them: then the newest whole one")
      ->required();
  export_app->add_option("--output", exported, "The file, such as weights.safetensors")->required();

  std::string info_json;
  CLI::App* info_app = app.add_subcommand("info", "Versions, processor, devices, backends");
  info_app->add_option("--json", info_json, "Write as JSON to this file (-: standard output)");

  SelectBenchOptions select;
  CLI::App* bench_app = app.add_subcommand("bench", "Measure this build on this machine");
  bench_app->require_subcommand(1);
  CLI::App* select_app =
      bench_app->add_subcommand("select", "Selection against memory speed and other methods");
  AddSelectBenchOptions(select_app, &select);
  WireBenchOptions wire;
  CLI::App* wire_app =
      bench_app->add_subcommand("wire", "Bits per entry on the wire, encoding and decoding");
  AddWireBenchOptions(wire_app, &wire);
  TrainOptions accuracy;
  accuracy.workers = 8;
  accuracy.batch_size = 16;
  CLI::App* accuracy_app = bench_app->add_subcommand(
      "accuracy", "What compression costs in accuracy: workers take turns in one process");
  AddModelOptions(accuracy_app, &accuracy);
  AddOptimisationOptions(accuracy_app, &accuracy);
  AddCompressOption(accuracy_app, &accuracy);
  AddCompressionOptions(accuracy_app, &accuracy);
  AddReportOptions(accuracy_app, &accuracy);
  AddConfigOptions(accuracy_app, &config);
  accuracy_app->add_option("--workers", accuracy.workers, "Workers, without a network")
      ->check(CLI::Range(1, 1024))
      ->group("Running");
  accuracy_app->footer(
      "Examples:\n"
      "  cddp bench accuracy                                   dense\n"
      "  cddp bench accuracy --compress --ratio 0.001          with the largest 0.1%\n"
      "  scripts/accuracy_study.py memory                      memories over paired seeds\n"
      "Without a network there are no times to choose by: --collective auto is gather here.");

  TrainOptions data_bench;
  CLI::App* data_bench_app = bench_app->add_subcommand(
      "data", "Loading and augmenting: samples per second of one thread, without a model");
  AddDataBenchOptions(data_bench_app, &data_bench);

  SyncBenchOptions sync;
  sync.run.compress = true;
  CLI::App* sync_app = bench_app->add_subcommand(
      "sync", "Synchronise the gradients of a model over a network: time and bytes");
  AddSyncBenchOptions(sync_app, &sync);
  AddCompressionOptions(sync_app, &sync.run);
  AddLaunchOptions(sync_app, &sync.run);
  AddReportOptions(sync_app, &sync.run);

  try {
    app.parse(argc, argv);
    for (CLI::App* command : {train_app, compare_app, accuracy_app}) {
      // Flags go before what a file says: they are parsed again over it.
      if (command->parsed() && ApplyConfig(config, command, ConfigKeys(*train_app))) {
        app.parse(argc, argv);
        break;
      }
    }
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  } catch (const StatusError& error) {
    return ReportFailure(error.status());
  }

  const std::vector<std::string> arguments(argv, argv + argc);
  try {
    if (train_app->parsed()) {
      Resolve(train);
      if (config.print) return Print(ToYaml(train));
      SetLogLevel(train.log_level);
      return TrainCommand(train, arguments);
    }
    if (compare_app->parsed()) {
      TrainOptions resolved = compare.run;
      Resolve(resolved);
      if (config.print) return Print(ToYaml(resolved));
      SetLogLevel(resolved.log_level);
      return CompareCommand(compare, arguments);
    }
    if (test_app->parsed()) {
      SetLogLevel(test.run.log_level);
      return TestCommand(test, arguments);
    }
    if (plot_app->parsed()) return PlotCommand(plotted);
    if (report_app->parsed()) return ReportCommand(page);
    if (scaling_app->parsed()) return Scaling(scaling);
    if (validate_app->parsed()) {
      Resolve(validate);
      SetLogLevel(validate.log_level);
      return ValidateCommand(validate, arguments);
    }
    if (export_app->parsed()) return ExportCommand(checkpoint, exported);
    if (info_app->parsed()) return InfoCommand(info_json);
    if (select_app->parsed()) return SelectBench(select);
    if (wire_app->parsed()) return WireBench(wire);
    if (data_bench_app->parsed()) {
      ResolveData(data_bench);
      return DataBench(data_bench);
    }
    if (sync_app->parsed()) {
      if (sync.run.collective == "dense") {
        sync.run.compress = false;
        sync.run.values = TrainOptions().values;
      }
      Resolve(sync.run);
      SetLogLevel(sync.run.log_level);
      return SyncBench(sync, arguments);
    }
    if (accuracy_app->parsed()) {
      if (accuracy.compress && accuracy.collective == "auto") accuracy.collective = "gather";
      Resolve(accuracy);
      if (config.print) return Print(ToYaml(accuracy));
      SetLogLevel(accuracy.log_level);
      return AccuracyBench(accuracy);
    }

    if (datasets.empty()) datasets = DatasetNames();
    if (list_app->parsed()) ListDatasets(data_dir, std::cout);
    if (fetch_app->parsed()) {
      FetchDatasets(datasets, data_dir, std::cerr, isatty(STDERR_FILENO) != 0, offline);
    }
    if (verify_app->parsed() && !VerifyDatasets(datasets, data_dir, std::cout)) {
      return ExitCode(StatusCode::kCorrupt);
    }
    return 0;
  } catch (const StatusError& error) {
    return ReportFailure(error.status());
  } catch (const std::exception& error) {
    return ReportFailure(Status::Internal(error.what()));
  }
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) { return cddp::Main(argc, argv); }
