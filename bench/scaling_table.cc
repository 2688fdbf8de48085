// What `cddp scaling` prints.
#include <fmt/format.h>

#include <initializer_list>
#include <optional>
#include <string>

#include "bench/scaling_bandwidth.h"
#include "bench/scaling_report.h"
#include "trainer/progress.h"

namespace cddp {
namespace {

std::string Sum(std::initializer_list<std::string> terms) {
  std::string sum;
  for (const std::string& term : terms) {
    if (!term.empty()) sum += (sum.empty() ? "" : " + ") + term;
  }
  return sum.empty() ? "0" : sum;
}

// "1.2 ms + 0.03 ms x 2(P-1) + bytes at 940 Mbit/s", without what is 0.
std::string TimeFormula(const CollectiveModel& m) {
  return Sum({m.fixed_ms > 0 ? fmt::format("{:.3g} ms", m.fixed_ms) : "",
              m.latency_ms > 0 ? fmt::format("{:.3g} ms x 2(P-1)", m.latency_ms) : "",
              m.ms_per_byte > 0 ? fmt::format("bytes at {:.4g} Mbit/s", m.MbitS()) : ""});
}

std::string BytesFormula(const CollectiveModel& m) {
  const char* volume = m.law == VolumeLaw::kRing ? "2(P-1)/P" : "(P-1)";
  return Sum({fmt::format("{} x {}", FormatBytes(m.bytes_per_volume), volume),
              m.bytes_per_message > 0 ? fmt::format("{} x 2(P-1)", FormatBytes(m.bytes_per_message))
                                      : ""});
}

std::string Optional(const std::optional<double>& value, const char* format) {
  return value ? fmt::format(fmt::runtime(format), *value) : "-";
}

std::string TableRow(const ScalingRow& row) {
  return fmt::format(
      "{:<10} {:>7} {:<9} {:>9.1f} {:>15} {:>9.1f} {:>9.1f} {:>10} {:>10.0f} {:>8} {:>10} {:>9} "
      "{:>8}\n",
      row.collective, row.workers, row.projected ? "projected" : "measured", row.step_ms,
      row.step_ms_low ? fmt::format("{:.0f} to {:.0f}", *row.step_ms_low, *row.step_ms_high) : "",
      row.compute_ms, row.exposed_ms, FormatBytes(row.tx_bytes_per_step), row.samples_per_s,
      Optional(row.speedup, "{:.2f}"),
      row.efficiency_fraction ? fmt::format("{:.1f}%", 100 * *row.efficiency_fraction) : "-",
      Optional(row.cost_per_epoch, "{:.4g}"), Optional(row.held_out_step_error_percent, "{:.1f}%"));
}

}  // namespace

std::string ScalingTable(const ScalingReport& report) {
  std::string table;
  for (const CollectiveStudy& study : report.studies) {
    const CollectiveModel& m = study.model;
    const ModelledPoint& most = study.held_out.back();
    const AmdahlLaw law = AmdahlOf(report.rows, m.collective);
    table += fmt::format(
        "{:<6} time = {}; bytes = {}\n"
        "       a model without the points of {} workers misses them by {:.1f}%\n"
        "       {:.1f}% of a step of {} workers is exposed: after Amdahl, more workers that share "
        "its batch are {} (held-out error {:.1f}%)\n",
        m.collective, TimeFormula(m), BytesFormula(m), most.workers,
        SyncErrorPercent(study.held_out), 100 * law.serial_fraction, law.of_workers,
        law.serial_fraction > 0
            ? fmt::format("at most {:.2f} times as fast", 1 / law.serial_fraction)
            : "without a limit",
        law.held_out_step_error_percent);
  }
  table += fmt::format(
      "\n{:<10} {:>7} {:<9} {:>9} {:>15} {:>9} {:>9} {:>10} {:>10} {:>8} {:>10} {:>9} {:>8}\n"
      "{:<10} {:>7} {:<9} {:>9} {:>15} {:>9} {:>9} {:>10} {:>10} {:>8} {:>10} {:>9} {:>8}\n",
      "", "", "", "step", "range", "compute", "exposed", "sent", "samples", "", "", "cost per",
      "held-out", "collective", "workers", "", "(ms)", "(ms)", "(ms)", "(ms)", "per step", "per s",
      "speed-up", "efficiency", "epoch", "error");
  for (const ScalingRow& row : report.rows) table += TableRow(row);
  table += BandwidthTable(report.studies, MostMeasured(report));
  for (const std::string& warning : ScalingWarnings(report)) table += "note: " + warning + '\n';
  return table;
}

}  // namespace cddp
