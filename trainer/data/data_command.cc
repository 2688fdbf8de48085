#include "trainer/data/data_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <vector>

#include "trainer/data/catalog.h"
#include "trainer/data/fetch.h"
#include "trainer/data/sources.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr double kMegabyte = 1e6;
constexpr std::chrono::milliseconds kRedrawInterval{100};

std::vector<const DatasetInfo*> Chosen(std::span<const std::string> names) {
  std::vector<const DatasetInfo*> chosen;
  if (names.empty()) {
    for (const std::string& name : DatasetNames()) chosen.push_back(&RequireDataset(name));
  }
  for (const std::string& name : names) chosen.push_back(&RequireDataset(name));
  return chosen;
}

std::string StateOnDisk(const DatasetInfo& info, const fs::path& data_dir) {
  size_t present = 0;
  for (const DataFile& file : info.files) {
    std::error_code error;
    const uintmax_t bytes = fs::file_size(DataFilePath(info, file, data_dir), error);
    if (!error && bytes == file.bytes) ++present;
  }
  if (present == 0) return "not fetched";
  if (present == info.files.size()) return "present";
  return fmt::format("{} of {} files", present, info.files.size());
}

// A status line that is rewritten in place, and whole lines in between.
class ProgressPrinter {
 public:
  ProgressPrinter(std::ostream& os, bool terminal) : os_(os), terminal_(terminal) {}

  void Line(const std::string& line) {
    Clear();
    os_ << "  " << line << '\n' << std::flush;
  }

  void Progress(const std::string& what, uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    const bool finished = total != 0 && done == total;
    if (!terminal_ || done == 0 || (!finished && now - last_drawn_ < kRedrawInterval)) return;
    last_drawn_ = now;
    const auto megabytes = static_cast<double>(done) / kMegabyte;
    std::string text = fmt::format("  {} {:.1f} MB", what, megabytes);
    if (total != 0) {
      text = fmt::format("  {} {:3.0f} % of {:.1f} MB", what,
                         100.0 * static_cast<double>(done) / static_cast<double>(total),
                         static_cast<double>(total) / kMegabyte);
    }
    // Padded to cover what a longer line left behind.
    os_ << '\r' << fmt::format("{:<{}}", text, drawn_width_) << std::flush;
    drawn_width_ = std::max(drawn_width_, text.size());
  }

  void Clear() {
    if (drawn_width_ == 0) return;
    os_ << '\r' << std::string(drawn_width_, ' ') << '\r' << std::flush;
    drawn_width_ = 0;
  }

 private:
  std::ostream& os_;
  const bool terminal_;
  size_t drawn_width_ = 0;
  std::chrono::steady_clock::time_point last_drawn_{};
};

}  // namespace

void ListDatasets(const fs::path& data_dir, std::ostream& os) {
  constexpr const char* kRow = "{:<14} {:>14} {:>7} {:>8} {:>8}  {}\n";
  os << fmt::format(fmt::runtime(kRow), "name", "train + test", "pixels", "classes", "MB",
                    fmt::format("in {}", data_dir.string()));
  const auto of_images = [](const DatasetInfo* info, const std::string& text) {
    return info->kind == DatasetKind::kText ? "-" : text;
  };
  for (const DatasetInfo* info : Chosen({})) {
    os << fmt::format(fmt::runtime(kRow), info->name,
                      of_images(info, fmt::format("{} + {}", info->train_count, info->test_count)),
                      of_images(info, fmt::format("{}x{}", info->rows, info->cols)),
                      of_images(info, fmt::format("{}", info->classes)),
                      fmt::format("{:.1f}", static_cast<double>(info->bytes()) / kMegabyte),
                      StateOnDisk(*info, data_dir));
  }
  for (const DatasetInfo* info : Chosen({})) {
    os << fmt::format("\n{}: {}; from, in this order:\n  {}\n", info->name, info->title,
                      (data_dir / info->name).string());
    for (const auto& source : DefaultSources(*info)) os << "  " << source->description() << '\n';
  }
}

void FetchDatasets(std::span<const std::string> names, const fs::path& data_dir, std::ostream& os,
                   bool terminal, bool offline) {
  ProgressPrinter printer(os, terminal);
  FetchOptions options;
  options.offline = offline;
  options.callbacks.log = [&](const std::string& line) { printer.Line(line); };
  options.callbacks.progress = [&](const std::string& what, uint64_t done, uint64_t total) {
    printer.Progress(what, done, total);
  };
  for (const DatasetInfo* info : Chosen(names)) {
    os << fmt::format("{} -> {}\n", info->name, (data_dir / info->name).string()) << std::flush;
    try {
      const FetchSummary summary = FetchDataset(*info, data_dir, options);
      printer.Line(
          fmt::format("complete: {} files fetched, {} were there", summary.fetched, summary.kept));
    } catch (...) {
      printer.Clear();
      throw;
    }
  }
}

bool VerifyDatasets(std::span<const std::string> names, const fs::path& data_dir,
                    std::ostream& os) {
  bool all_ok = true;
  bool any = false;
  for (const DatasetInfo* info : Chosen(names)) {
    const std::vector<FileReport> reports = VerifyDataset(*info, data_dir);
    if (names.empty() && std::ranges::all_of(reports, [](const FileReport& report) {
          return report.state == FileState::kMissing;
        })) {
      continue;
    }
    any = true;
    os << fmt::format("{} in {}\n", info->name, (data_dir / info->name).string());
    size_t at = 0;
    for (const FileReport& report : reports) {
      const DataFile& expected = info->files[at++];
      os << fmt::format("  {:<26} {}\n", report.name, FileStateName(report.state));
      all_ok = all_ok && report.state == FileState::kOk;
      if (report.state == FileState::kWrongSize) {
        os << fmt::format("    expected {} bytes, found {}\n", expected.bytes, report.bytes);
      } else if (report.state == FileState::kAltered) {
        os << fmt::format("    expected SHA-256 {}\n    found    SHA-256 {}\n", expected.sha256,
                          report.sha256);
      }
    }
  }
  if (!any) {
    os << fmt::format("No data set is in {}.\n", data_dir.string());
    return false;
  }
  if (!all_ok) os << "Not all files are in order; `cddp data fetch` gets them anew.\n";
  return all_ok;
}

}  // namespace cddp
