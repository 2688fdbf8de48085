#include "bench/sync_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <iostream>

#include "bench/sync_steps.h"
#include "cddp/status.h"
#include "trainer/failure.h"
#include "trainer/machine.h"
#include "trainer/progress.h"
#include "trainer/rank_zero.h"
#include "trainer/report_file.h"
#include "trainer/shapes.h"
#include "trainer/worker.h"

namespace cddp {
namespace {

void Print(std::FILE* out, const nlohmann::json& r) {
  const auto number = [&](const char* key) { return r.at(key).get<double>(); };
  fmt::print(out, "{} ({} parameters, {} buckets), {} workers, {}\n",
             r["shapes"].get<std::string>(), r["parameters"].get<int64_t>(),
             r["buckets"].get<int>(), r["world_size"].get<int>(),
             r["collective"].get<std::string>());
  if (number("compute_ms") > 0) {
    fmt::print(out, "  step, median             {:10.2f} ms, of it {:.2f} ms of backward\n",
               number("step_ms_median"), number("compute_ms"));
  }
  if (r["ratio_to_floor"].is_null()) {
    fmt::print(out, "  not hidden behind it     {:10.2f} ms\n", number("sync_ms_median"));
  } else {
    fmt::print(out,
               "  synchronisation, median  {:10.2f} ms, {:.2f} times the floor of {:.2f} ms{}\n",
               number("sync_ms_median"), number("ratio_to_floor"), number("floor_ms"),
               number("ratio_to_floor") < 1 ? " (something disturbed its measurement)" : "");
  }
  fmt::print(out,
             "  of a worker              select {:.2f}, encode {:.2f}, exchange {:.2f} (bare "
             "{:.2f}), decode {:.2f}, apply {:.2f} ms\n",
             number("select_ms"), number("encode_ms"), number("exchange_ms"),
             number("bare_exchange_ms"), number("decode_ms"), number("apply_ms"));
  fmt::print(out, "  sent by a worker         {} a step on its sockets",
             FormatBytes(number("tx_bytes_per_step")));
  if (!r["nic_tx_bytes_per_step"].is_null()) {
    fmt::print(out, ", {} on its interface", FormatBytes(number("nic_tx_bytes_per_step")));
  }
  fmt::print(out, "\n");
}

void Check(const SyncBenchOptions& o) {
  RequireRange("--steps", o.steps, 1, 1'000'000);
  RequireRange("--warmup", o.warmup, 0, 1'000'000);
  RequireRange("--compute-ms", o.compute_ms, 0, 3'600'000);
}

}  // namespace

void AddSyncBenchOptions(CLI::App* app, SyncBenchOptions* o) {
  app->add_option("--shapes", o->shapes,
                  fmt::format("Parameters of {}, or of a file with a name and sizes on each line",
                              fmt::join(ShapeNames(), ", ")))
      ->group("Case");
  app->add_flag("--print-shapes", o->print_shapes, "Print them as such a file; measure nothing")
      ->group("Case");
  app->add_option("--compute-ms", o->compute_ms,
                  "Spread the gradients' readiness over so many ms, as backward on a GPU would")
      ->group("Case");
  app->add_option("--steps", o->steps, "Timed steps")->group("Measurement");
  app->add_option("--warmup", o->warmup,
                  "Steps before, in which memories fill, thresholds settle and auto decides: more "
                  "steps when it takes longer")
      ->group("Measurement");
  app->footer(
      "Each worker runs this command, started by torchrun, by scripts/lab.sh on shaped links, or\n"
      "with --workers N on this machine. Steps start together; times are medians of the mean\n"
      "over the workers, from when all gradients are there until they are synchronised; those\n"
      "of a worker's parts, which overlap, are means. With\n"
      "--compute-ms a step begins with the backward that makes them. The floor, of a step\n"
      "without one, is what the memory traffic of all workers takes at the triad's rate, and\n"
      "the exchange of the same messages with nothing in between.\n"
      "Examples:\n"
      "  cddp bench sync --workers 2 --shapes resnet18 --collective split\n"
      "  scripts/lab.sh up 8 1gbit\n"
      "  scripts/lab.sh run -- build/release/cddp bench sync --collective dense --threads 1\n"
      "  scripts/lab.sh run -- build/release/cddp bench sync --collective split --threads 1");
}

int SyncBench(const SyncBenchOptions& options, const std::vector<std::string>& arguments) {
  Check(options);
  const std::vector<ParameterShape> shapes = ShapesOf(options.shapes);
  if (options.print_shapes) {
    std::cout << ShapesText(shapes);
    return 0;
  }
  RequireWritableReport(options.run.json);
  if (IsLauncher(options.run)) return LaunchLocalWorkers(options.run, arguments);

  auto configuration = AgreedConfiguration(options.run);
  configuration["command"] = "bench sync";
  configuration["--shapes"] = ShapesText(shapes);
  configuration["--steps"] = std::to_string(options.steps);
  configuration["--warmup"] = std::to_string(options.warmup);
  configuration["--compute-ms"] = std::to_string(options.compute_ms);
  return RunInWorld(options.run, configuration, [&](World& world) {
    nlohmann::json report = SyncSteps(options, world).Run();
    OnRankZero(world, [&] {
      report["machine"] = MachineDescription();
      Print(TableStream(options.run.json), report);
      WriteJsonReport(options.run.json, report);
    });
  });
}

}  // namespace cddp
