#include "bench/scaling_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdio>
#include <utility>

#include "bench/scaling_plot.h"
#include "bench/scaling_report.h"
#include "trainer/failure.h"
#include "trainer/plots/gnuplot.h"
#include "trainer/report_file.h"

namespace cddp {
namespace {

constexpr int kMostWorkers = 1 << 20;

void Check(const ScalingOptions& o) {
  const ScalingSettings& s = o.settings;
  RequireRange("--to", s.max_workers, 2, kMostWorkers);
  if (s.batch_size < 1)
    Refuse(fmt::format("--batch-size must be at least 1, got {}", s.batch_size));
  if (s.samples && *s.samples < 1) {
    Refuse(fmt::format("--samples must be at least 1, got {}", *s.samples));
  }
  if (s.price && !(*s.price >= 0 && std::isfinite(*s.price))) {
    Refuse(fmt::format("--price must be at least 0, got {}", *s.price));
  }
  if (s.price && !s.samples) Refuse("--price needs --samples N: the cost is that of an epoch");
  RequirePngName(o.plot);
  if (!o.rate.empty()) LinkMbitS(o.rate, "--rate");
  if (o.points.empty()) CheckMeasurement(o.measurement);
}

void SavePoints(const std::string& file, const std::vector<SyncPoint>& points) {
  nlohmann::json rows = nlohmann::json::array();
  for (const SyncPoint& point : points) rows.push_back(point.report);
  WriteJsonReport(file, {{"rows", rows}});
}

std::vector<SyncPoint> Points(const ScalingOptions& o) {
  std::vector<SyncPoint> points;
  const auto take = [&](SyncPoint point) {
    if (!o.rate.empty() && !point.report.contains("rate")) {
      point.report["rate"] = o.rate;
      point.link_mbit_s = LinkMbitS(o.rate, "--rate");
    }
    points.push_back(std::move(point));
  };
  if (o.points.empty()) {
    MeasureSyncPoints(o.measurement, [&](SyncPoint point) {
      take(std::move(point));
      // They take long, and the next case may fail.
      if (o.save_points != "-") SavePoints(o.save_points, points);
    });
  }
  for (const std::string& file : o.points) {
    for (SyncPoint& point : ReadSyncPoints(file)) take(std::move(point));
  }
  return points;
}

// What is handed on to bench sync, and refused beside points, which are measured.
void AddMeasurementOptions(CLI::App* app, ScalingMeasurement* m, const CLI::Option* points) {
  std::vector<const CLI::Option*> added;
  const auto add = [&](const char* flag, auto* value, const std::string& help) {
    CLI::Option* option = app->add_option(flag, *value, help)->group("Measurement");
    added.push_back(option);
    return option;
  };
  add("--workers", &m->workers, "Numbers of workers, such as 1,2,4,8; two of them above 1")
      ->delimiter(',')
      ->take_all();
  add("--collectives", &m->collectives,
      fmt::format("Which to measure: {}", fmt::join(ScalingCollectives(), ", ")))
      ->delimiter(',')
      ->take_all();
  add("--shapes", &m->shapes, "Gradient to synchronise, as in cddp bench sync");
  add("--compute-ms", &m->compute_ms, "Computation of a step, as in cddp bench sync");
  add("--steps", &m->steps, "Timed steps of a point");
  add("--ratio", &m->ratio, "Share of the gradient that is sent, in (0, 1]");
  add("--values", &m->values, "Value codec");
  add("--memory", &m->memory, "Error feedback");
  add("--interface", &m->interface, "Network interface of the gradients, such as eth0");
  add("--launcher", &m->launcher,
      "Command that starts a program on {P} workers, put before it; split at spaces. Without "
      "it all workers run on this machine");
  app->parse_complete_callback([points, added] {
    for (const CLI::Option* option : added) {
      if (points->count() > 0 && option->count() > 0) {
        throw CLI::ExcludesError(points->get_name(), option->get_name());
      }
    }
  });
}

}  // namespace

void AddScalingOptions(CLI::App* app, ScalingOptions* o) {
  CLI::Option* points =
      app->add_option("--points", o->points,
                      "Reports of cddp bench sync to start from; without it they are measured")
          ->take_all()
          ->group("Points");
  app->add_option("--rate", o->rate,
                  "Rate of a worker's link, such as 1gbit, for points that do not say it")
      ->group("Points");
  AddMeasurementOptions(app, &o->measurement, points);
  app->add_option("--save-points", o->save_points,
                  "Write the measured points, as JSON for --points, to this file")
      ->group("Output");
  app->add_option("--to", o->settings.max_workers, "Project to 2, 4, 8, ... up to N workers")
      ->group("Projection");
  app->add_option("--batch-size", o->settings.batch_size, "Samples per worker and step")
      ->group("Projection");
  app->add_option("--samples", o->settings.samples, "Samples of an epoch")->group("Projection");
  app->add_option("--price", o->settings.price, "Of one worker for an hour, in any currency")
      ->group("Projection");
  app->add_option("--json", o->outputs.json, "Write as JSON to this file (-: standard output)")
      ->group("Output");
  app->add_option("--csv", o->outputs.csv, "Write the table as CSV to this file")->group("Output");
  app->add_option(
         "--plot", o->plot,
         "Draw speed-up, efficiency and the parts of a step into this PNG file, and steps "
         "over other bandwidths into FILE-bandwidth.png; data and gnuplot scripts are kept "
         "beside them")
      ->group("Output");
  app->footer(
      "Fits, to the measured times of each collective,\n"
      "  time = fixed + latency x 2(P-1) + bytes(P) / bandwidth\n"
      "and projects steps of more workers, each with the batch size of one. What was\n"
      "projected says so everywhere, and carries the held-out error: by how much a model of\n"
      "the other points misses the step at the most workers that were measured. The range is\n"
      "that of models without any one number of workers. Of other bandwidths the error is known\n"
      "at the rate of the points' links alone, and only where they or --rate say it. Points from\n"
      "one machine share its cores; those from shaped links or a network are better. Without\n"
      "gnuplot --plot still writes data and script, and the exit code is 2.\n"
      "The model knows neither stragglers nor a network that many workers overload.\n"
      "Examples:\n"
      "  cddp bench sync --workers 4 --collective split --json split-4.json   one point\n"
      "  cddp scaling --points dense-*.json split-*.json --plot scaling.png\n"
      "  cddp scaling --workers 1,2,4,8 --compute-ms 100 --save-points points.json\n"
      "  cddp scaling --points points.json --samples 50000 --batch-size 128 --price 0.9\n"
      "  cddp scaling --launcher 'scripts/lab.sh run -n {P} --' --interface eth0 --rate 1gbit");
}

int Scaling(const ScalingOptions& o) {
  Check(o);
  RequireOutputs(o.outputs);
  RequireOutput("--save-points", o.save_points);
  RequireOutput("--plot", o.plot);
  const std::vector<SyncPoint> points = Points(o);
  SavePoints(o.save_points, points);
  const ScalingReport report = MakeScalingReport(points, o.settings);
  std::FILE* table = TableStream(o.outputs.json);
  fmt::print(table, "{}", ScalingTable(report));
  std::fflush(table);
  WriteOutputs(o.outputs, ScalingColumns(), ScalingRowsJson(report), ScalingSummaryJson(report));
  if (!o.plot.empty()) PlotScaling(report, o.plot);
  return 0;
}

}  // namespace cddp
