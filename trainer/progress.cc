#include "trainer/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace cddp {
namespace {

constexpr auto kTerminalPeriod = std::chrono::milliseconds(100);
constexpr auto kLogPeriod = std::chrono::seconds(30);

size_t TerminalColumns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// A terminal that hung up, or a log whose reader is gone, ends no training: fmt::print throws.
void Say(const std::string& text) { std::fputs(text.c_str(), stderr); }

}  // namespace

ProgressBar::ProgressBar(std::string title, uint64_t first, uint64_t total, bool enabled)
    : title_(std::move(title)),
      first_(first),
      total_(total),
      enabled_(enabled),
      terminal_(isatty(STDERR_FILENO) != 0),
      due_(terminal_ ? start_ : start_ + kLogPeriod) {}

ProgressBar::~ProgressBar() {
  if (enabled_ && terminal_) Say("\r\033[K");
}

void ProgressBar::Update(uint64_t done, const std::function<std::string()>& details) {
  if (!enabled_ || Clock::now() < due_) return;
  due_ = Clock::now() + (terminal_ ? std::chrono::milliseconds(kTerminalPeriod)
                                   : std::chrono::milliseconds(kLogPeriod));
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double share = total_ == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total_);
  const double left = done > first_ ? seconds * static_cast<double>(total_ - done) /
                                          static_cast<double>(done - first_)
                                    : 0;

  const ProgressLine line{.title = fmt::format("{} {:3.0f}%", title_, 100 * share),
                          .share = share,
                          .count = fmt::format("{}/{}", done, total_),
                          .details = details(),
                          .left = FormatDuration(left) + " left"};
  if (terminal_) {
    Say("\r\033[K" + Fit(line, TerminalColumns() - 1));
  } else {
    Say(fmt::format("{} {} {} {}\n", line.title, line.count, line.details, line.left));
  }
}

std::string Fit(const ProgressLine& line, size_t columns) {
  constexpr size_t kWidth = 20;
  const auto filled = static_cast<size_t>(line.share * kWidth);
  const std::string bar =
      fmt::format("[{}{}] ", std::string(filled, '='), std::string(kWidth - filled, ' '));
  std::string details = line.details;
  const auto all = [&](const std::string& graphic) {
    return fmt::format("{} {}{} {}{}{}", line.title, graphic, line.count, details,
                       details.empty() ? "" : " ", line.left);
  };
  if (all(bar).size() <= columns) return all(bar);
  while (!details.empty() && all("").size() > columns) {
    const size_t last = details.rfind(", ");
    details.resize(last == std::string::npos ? 0 : last);
  }
  return all("").substr(0, columns);
}

std::string FormatBytes(double bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.3g} {}", bytes, kUnits[unit]);
}

std::string FormatRate(double samples_per_s, bool is_text) {
  return fmt::format("{:.0f} {}/s", samples_per_s, is_text ? "windows" : "images");
}

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds + 0.5);
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace cddp
