#include "bench/scaling_bandwidth.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "bench/scaling_style.h"

namespace cddp {
namespace {

const CollectiveStudy* Dense(const std::vector<CollectiveStudy>& studies) {
  const auto it = std::ranges::find_if(
      studies, [](const CollectiveStudy& study) { return study.model.collective == "dense"; });
  return it == studies.end() ? nullptr : &*it;
}

CollectiveModel At(CollectiveModel model, double mbit_s) {
  model.ms_per_byte = 8e-3 / mbit_s;
  return model;
}

std::string BandwidthText(double mbit_s) {
  return mbit_s < 1000 ? fmt::format("{:.0f} Mbit/s", mbit_s)
                       : fmt::format("{:.3g} Gbit/s", mbit_s / 1000);
}

std::string BreakEven(const CollectiveStudy& dense, const CollectiveStudy& study, int workers) {
  const std::optional<double> mbit_s = BreakEvenMbitS(dense.model, study.model, workers);
  const std::string head =
      fmt::format("{}, {} workers, projected: ", study.model.collective, workers);
  if (!mbit_s) return head + "synchronises faster than dense at any bandwidth\n";
  if (*mbit_s == 0) return head + "sends no fewer bytes than dense, and does not pay\n";
  return head + fmt::format("pays below {}\n", BandwidthText(*mbit_s));
}

}  // namespace

std::vector<double> ProjectedMbitS() { return {100, 300, 1000, 3000, 10'000, 30'000, 100'000}; }

std::vector<BandwidthRow> ProjectBandwidths(const std::vector<CollectiveStudy>& studies,
                                            int max_workers) {
  const CollectiveStudy* dense = Dense(studies);
  std::vector<BandwidthRow> rows;
  for (const CollectiveStudy& study : studies) {
    for (const int workers : ProjectedWorkers(max_workers)) {
      for (const double mbit_s : ProjectedMbitS()) {
        const CollectiveModel model = At(study.model, mbit_s);
        BandwidthRow row{.collective = model.collective,
                         .workers = workers,
                         .mbit_s = mbit_s,
                         .sync_ms = model.SyncMs(workers),
                         .step_ms = model.StepMs(workers),
                         .times_as_fast_as_dense = {},
                         .held_out_step_error_percent = StepErrorPercent(study.held_out)};
        if (dense != nullptr && row.step_ms > 0) {
          row.times_as_fast_as_dense = At(dense->model, mbit_s).StepMs(workers) / row.step_ms;
        }
        rows.push_back(row);
      }
    }
  }
  return rows;
}

nlohmann::json ToJson(const BandwidthRow& row) {
  return {
      {"collective", row.collective},
      {"workers", row.workers},
      {"mbit_s", row.mbit_s},
      {"projected", true},
      {"sync_ms", row.sync_ms},
      {"step_ms", row.step_ms},
      {"times_as_fast_as_dense",
       row.times_as_fast_as_dense ? nlohmann::json(*row.times_as_fast_as_dense) : nlohmann::json()},
      {"held_out_step_error_percent", row.held_out_step_error_percent}};
}

std::string BandwidthTable(const std::vector<CollectiveStudy>& studies, int workers) {
  std::string table =
      fmt::format("\n{:<40}", fmt::format("step of {} workers (ms), projected, at", workers));
  for (const double mbit_s : ProjectedMbitS()) {
    table += fmt::format(" {:>11}", BandwidthText(mbit_s));
  }
  table += '\n';
  for (const CollectiveStudy& study : studies) {
    table +=
        fmt::format("{:<40}", fmt::format("{} (held-out error {:.0f}%)", study.model.collective,
                                          StepErrorPercent(study.held_out)));
    for (const double mbit_s : ProjectedMbitS()) {
      table += fmt::format(" {:>11.1f}", At(study.model, mbit_s).StepMs(workers));
    }
    table += '\n';
  }
  const CollectiveStudy* dense = Dense(studies);
  for (const CollectiveStudy& study : studies) {
    if (dense != nullptr && &study != dense) table += BreakEven(*dense, study, workers);
  }
  return table;
}

Picture BandwidthPicture(const std::vector<CollectiveStudy>& studies, int workers, int many,
                         const std::string& name) {
  Picture picture{.name = name,
                  .data =
                      "# Blocks of a collective: bandwidth (Gbit/s), step (ms) with fewer and "
                      "with many workers; all projected.\n\n\n",
                  .script = {}};
  picture.script = fmt::format(
      "set terminal pngcairo size 1650,1150 font 'DejaVu Sans,22' background 'white'\n"
      "set output {}\ndata = {}\n"
      "set border lw 1.5\nset grid lt 1 lw 1 lc rgb '#dddddd'\n"
      "set title 'Step time over bandwidth, all projected from the measured points'\n"
      "set logscale x 10\nset logscale y 10\nset xrange [0.1:100]\n"
      "set xlabel 'bandwidth of a worker (Gbit/s)' offset 0,0.6\nset ylabel 'step time (ms)'\n"
      "set key below maxcols 1 samplen 5 Left reverse\n",
      Quoted(name + ".png"), Quoted(name + ".dat"));
  std::string plots;
  for (const CollectiveStudy& study : studies) {
    const CollectiveModel& model = study.model;
    picture.data += fmt::format("# {}\n", model.collective);
    for (const double mbit_s : ProjectedMbitS()) {
      const CollectiveModel at = At(model, mbit_s);
      picture.data += fmt::format("{} {} {}\n", mbit_s / 1000, at.StepMs(workers), at.StepMs(many));
    }
    picture.data += "\n\n";
    const ScalingStyle& style = StyleOf(model.collective);
    for (const auto& [count, column, width] : {std::tuple(workers, 2, 4), std::tuple(many, 3, 2)}) {
      plots += fmt::format(
          "{}data index '{}' using 1:{} with linespoints lw {} dt {} pt {} ps 2 lc rgb '{}' title "
          "'{}, {} workers (held-out error {:.0f}%)'",
          plots.empty() ? "plot " : ", ", model.collective, column, width,
          column == 2 ? "1" : style.dashes, style.marker, style.color, model.collective, count,
          StepErrorPercent(study.held_out));
    }
  }
  picture.script += plots + '\n';
  return picture;
}

}  // namespace cddp
