// ProgressBar: how a long pass goes, on standard error.
//
// On a terminal one line is drawn over, at most ten times a second. Elsewhere
// (a log file, a pipe) a line of its own is written every 30 seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace cddp {

class ProgressBar {
 public:
  // `enabled` false: draws nothing (ranks other than 0, --log-level warning or above).
  // `first` of the `total` were done before.
  ProgressBar(std::string title, uint64_t first, uint64_t total, bool enabled);

  // Wipes the line, so that log lines start clean.
  ~ProgressBar();

  // `details` is asked for only when a line is due, for example "loss 0.12, accuracy 93.10%".
  void Update(uint64_t done, const std::function<std::string()>& details);

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  uint64_t first_;
  uint64_t total_;
  bool enabled_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point due_;
};

// What a line of progress says.
struct ProgressLine {
  std::string title;  // with how much of it is done
  double share = 0;   // the same, from 0 to 1
  std::string count;
  std::string details;
  std::string left;
};

// As one line of at most so many columns: with a bar if there is room for it; else details,
// which commas separate, are left out from their end.
std::string Fit(const ProgressLine& line, size_t columns);

// 12345678 -> "12.3 MB" (powers of 1000).
std::string FormatBytes(double bytes);

// 1234.5 -> "1234 images/s", of texts "1234 windows/s".
std::string FormatRate(double samples_per_s, bool is_text);

// 75.2 -> "1:15".
std::string FormatDuration(double seconds);

}  // namespace cddp
