#include "bench/scaling_bandwidth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/scaling_style.h"
#include "trainer/json_file.h"
#include "trainer/plots/plot_style.h"

namespace cddp {
namespace {

// Where a break-even is looked for: 1 kbit/s to 1 Pbit/s.
constexpr double kLeastMbitS = 1e-3;
constexpr double kMostMbitS = 1e9;

double LineMsPerByte(double mbit_s) { return 8e-3 / mbit_s; }

std::optional<double> ErrorPercent(const CollectiveStudy& study) {
  if (!study.link_mbit_s) return std::nullopt;
  return StepErrorPercent(study.held_out);
}

std::string BandwidthText(double mbit_s) {
  return mbit_s < 1000 ? fmt::format("{:.0f} Mbit/s", mbit_s)
                       : fmt::format("{:.3g} Gbit/s", mbit_s / 1000);
}

// "dense (held-out error 2% at 1 Gbit/s)"
std::string TitleOf(const CollectiveStudy& study, const std::string& workers = "") {
  const std::optional<double> error = ErrorPercent(study);
  return fmt::format(
      "{}{} ({})", study.model.collective, workers,
      error ? fmt::format("held-out error {:.0f}% at {}", *error, BandwidthText(*study.link_mbit_s))
            : "no error is known");
}

std::string WherePays(const CollectiveStudy& dense, const CollectiveStudy& study, int workers) {
  const LinkRange faster = FasterThanDense(dense, study, workers);
  const std::string head =
      fmt::format("{}, {} workers, projected: ", study.model.collective, workers);
  if (faster.below <= faster.above) {
    return head + "is faster than dense at no bandwidth, and does not pay\n";
  }
  if (std::isfinite(faster.below)) {
    return head + fmt::format("pays below {}\n", BandwidthText(faster.below));
  }
  if (faster.above > 0) return head + fmt::format("pays above {}\n", BandwidthText(faster.above));
  return head + "synchronises faster than dense at any bandwidth\n";
}

}  // namespace

std::vector<double> ProjectedMbitS() { return {100, 300, 1000, 3000, 10'000, 30'000, 100'000}; }

CollectiveModel AtBandwidth(const CollectiveStudy& study, double mbit_s) {
  CollectiveModel model = study.model;
  const double line = LineMsPerByte(mbit_s);
  if (study.link_mbit_s) {
    const double own_line = LineMsPerByte(*study.link_mbit_s);
    model.ms_per_byte =
        std::max(model.ms_per_byte * (line / own_line), model.ms_per_byte + (line - own_line));
  } else {
    model.ms_per_byte = line;
  }
  return model;
}

LinkRange FasterThanDense(const CollectiveStudy& dense, const CollectiveStudy& other, int workers) {
  const auto faster_at = [&](double mbit_s) {
    return AtBandwidth(other, mbit_s).SyncMs(workers) < AtBandwidth(dense, mbit_s).SyncMs(workers);
  };
  double low = kLeastMbitS;
  double high = kMostMbitS;
  const bool on_slow = faster_at(low);
  if (on_slow == faster_at(high)) return on_slow ? LinkRange{} : LinkRange{.above = 0, .below = 0};
  while (high > low * (1 + 1e-12)) {
    const double middle = std::sqrt(low * high);
    (faster_at(middle) == on_slow ? low : high) = middle;
  }
  return on_slow ? LinkRange{.below = low} : LinkRange{.above = low};
}

std::vector<BandwidthRow> ProjectBandwidths(const std::vector<CollectiveStudy>& studies,
                                            int max_workers) {
  const CollectiveStudy* dense = DenseStudy(studies);
  std::vector<BandwidthRow> rows;
  for (const CollectiveStudy& study : studies) {
    for (const int workers : ProjectedWorkers(max_workers)) {
      for (const double mbit_s : ProjectedMbitS()) {
        const CollectiveModel model = AtBandwidth(study, mbit_s);
        BandwidthRow row{.collective = model.collective,
                         .workers = workers,
                         .mbit_s = mbit_s,
                         .sync_ms = model.SyncMs(workers),
                         .step_ms = model.StepMs(workers),
                         .times_as_fast_as_dense = {},
                         .held_out_step_error_percent = ErrorPercent(study)};
        if (dense != nullptr && row.step_ms > 0) {
          row.times_as_fast_as_dense = AtBandwidth(*dense, mbit_s).StepMs(workers) / row.step_ms;
        }
        rows.push_back(row);
      }
    }
  }
  return rows;
}

nlohmann::json ToJson(const BandwidthRow& row) {
  return {{"collective", row.collective},
          {"workers", row.workers},
          {"mbit_s", row.mbit_s},
          {"projected", true},
          {"sync_ms", row.sync_ms},
          {"step_ms", row.step_ms},
          {"times_as_fast_as_dense", OrNull(row.times_as_fast_as_dense)},
          {"held_out_step_error_percent", OrNull(row.held_out_step_error_percent)}};
}

std::string BandwidthTable(const std::vector<CollectiveStudy>& studies, int workers) {
  std::string table =
      fmt::format("\n{:<44}", fmt::format("step of {} workers (ms), projected, at", workers));
  for (const double mbit_s : ProjectedMbitS()) {
    table += fmt::format(" {:>11}", BandwidthText(mbit_s));
  }
  table += '\n';
  for (const CollectiveStudy& study : studies) {
    table += fmt::format("{:<44}", TitleOf(study));
    for (const double mbit_s : ProjectedMbitS()) {
      table += fmt::format(" {:>11.1f}", AtBandwidth(study, mbit_s).StepMs(workers));
    }
    table += '\n';
  }
  const CollectiveStudy* dense = DenseStudy(studies);
  for (const CollectiveStudy& study : studies) {
    if (dense != nullptr && &study != dense) table += WherePays(*dense, study, workers);
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
  constexpr double kWidth = 1650;
  constexpr double kHeight = 1150;
  constexpr double kRoom = 1.4;  // above and below, as much as ValueAxis leaves once more
  picture.script =
      PageHead(name, kWidth, kHeight) + PanelStyle() + CollectiveLines() + LinesOfMany() +
      "set title 'Step time over bandwidth, all projected from measured points' font ',22'\n"
      "set logscale x\nset xrange [0.1:100]\n"
      "set xlabel 'bandwidth of a worker (Gbit/s)'\nset ylabel 'step time (ms)'\n"
      "set key below maxcols 1 samplen 5 Left reverse\n" +
      fmt::format("set bmargin {:.1f}\n", 4.5 + 2.2 * static_cast<double>(studies.size()));
  std::string plots;
  double shortest = std::numeric_limits<double>::infinity();
  double longest = 0;
  for (const CollectiveStudy& study : studies) {
    const std::string& collective = study.model.collective;
    picture.data += fmt::format("# {}\n", collective);
    for (const double mbit_s : ProjectedMbitS()) {
      const CollectiveModel at = AtBandwidth(study, mbit_s);
      picture.data += fmt::format("{} {} {}\n", mbit_s / 1000, at.StepMs(workers), at.StepMs(many));
      for (const double step_ms : {at.StepMs(workers), at.StepMs(many)}) {
        if (step_ms > 0) shortest = std::min(shortest, step_ms);
        longest = std::max(longest, step_ms);
      }
    }
    picture.data += "\n\n";
    plots += fmt::format(
        "{0}data index '{1}' using 1:2 with linespoints {2} title '{3}', "
        "data index '{1}' using 1:3 with linespoints {4} title '{5}'",
        plots.empty() ? "plot " : ", ", collective, ProjectedLine(collective),
        TitleOf(study, fmt::format(", {} workers", workers)), LineOfMany(collective),
        TitleOf(study, fmt::format(", {} workers", many)));
  }
  if (longest > 0) {
    const auto label = [](double ms) { return fmt::format("{:g}", ms); };
    picture.script += ValueAxis("y", shortest / kRoom, longest * kRoom, true, label);
  }
  picture.script += plots + '\n';
  return picture;
}

}  // namespace cddp
