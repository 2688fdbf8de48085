#include "trainer/data/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/folder_lock.h"
#include "trainer/data/gunzip.h"
#include "trainer/data/sha256.h"
#include "trainer/data/sources.h"
#include "trainer/data/verify.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<const DataFile*>;

// What a source delivered, as the bytes of the catalog or not at all.
std::vector<uint8_t> DecodeAndVerify(const DataFile& file, std::vector<uint8_t> bytes) {
  if (IsGzip(bytes)) bytes = Gunzip(bytes, file.bytes, file.name);
  if (bytes.size() != file.bytes) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: expected {} bytes, found {}",
                                                        file.name, file.bytes, bytes.size()));
  }
  if (const std::string found = Sha256Hex(bytes); found != file.sha256) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: expected SHA-256 {}, found {}",
                                                        file.name, file.sha256, found));
  }
  return bytes;
}

// One fetch: the files still missing, and what was tried for them.
class Fetch {
 public:
  Fetch(const DatasetInfo& info, const fs::path& data_dir, const FetchOptions& options)
      : info_(info), folder_(data_dir / info.name), options_(options) {}

  // Keeps what verifies; the rest becomes the list of missing files.
  void TakeStock() {
    missing_.clear();
    summary_.kept = 0;
    for (const DataFile& file : info_.files) {
      const FileReport report = VerifyFile(file, folder_ / file.name);
      if (report.state == FileState::kOk) {
        ++summary_.kept;
        continue;
      }
      if (report.state != FileState::kMissing) {
        const std::string what =
            report.state == FileState::kWrongSize
                ? fmt::format("{} instead of {} bytes", report.bytes, file.bytes)
                : std::string(FileStateName(report.state));
        RecordFailure(report.path.string(), what + ", to be replaced");
      }
      missing_.push_back(&file);
    }
  }

  void DecodeCompressedInPlace() {
    Files still_missing;
    for (const DataFile* file : missing_) {
      const fs::path compressed = folder_ / (file->name + ".gz");
      std::error_code error;
      if (!fs::exists(compressed, error)) {
        still_missing.push_back(file);
        continue;
      }
      std::vector<uint8_t> bytes;
      try {
        bytes = DecodeAndVerify(*file, ReadFileBytes(compressed, file->bytes + kGzipSlackBytes));
      } catch (const StatusError& failure) {
        RecordFailure(compressed.string(), failure.what());
        still_missing.push_back(file);
        continue;
      }
      Store(*file, bytes, compressed.string());
    }
    missing_ = still_missing;
  }

  void TakeFrom(Source& source) {
    if (options_.offline && source.needs_network()) {
      RecordFailure(source.description(), "skipped, offline was asked for");
      return;
    }
    Files still_missing;
    bool usable = true;
    for (const DataFile* file : missing_) {
      std::optional<std::vector<uint8_t>> bytes;
      if (usable) {
        try {
          bytes = DecodeAndVerify(*file, source.Read(*file, options_.callbacks));
        } catch (const StatusError& failure) {
          RecordFailure(source.description(), failure.what());
          // Bad bytes say nothing about the source's other files.
          usable = failure.code() == StatusCode::kCorrupt;
        } catch (const std::system_error& failure) {
          RecordFailure(source.description(), failure.what());
          usable = false;
        }
      }
      if (bytes) {
        Store(*file, *bytes, source.description());
      } else {
        still_missing.push_back(file);
      }
    }
    missing_ = still_missing;
  }

  void RequireComplete() const {
    if (complete()) return;
    std::vector<std::string> names;
    for (const DataFile* file : missing_) names.push_back(file->name);
    std::string tried;
    for (const std::string& failure : failures_) tried += "\n  - " + failure;
    throw StatusError(
        StatusCode::kUnavailable,
        fmt::format("data set {}: no source has {}. Tried:{}\nPut the missing files into {} by "
                    "hand, decoded or as .gz, and repeat.",
                    info_.name, fmt::join(names, ", "),
                    tried.empty() ? "\n  - nothing, there are no sources" : tried,
                    folder_.string()));
  }

  bool complete() const { return missing_.empty(); }
  const fs::path& folder() const { return folder_; }
  const FetchSummary& summary() const { return summary_; }

 private:
  void RecordFailure(const std::string& source, const std::string& why) {
    failures_.push_back(fmt::format("{}: {}", source, why));
    options_.callbacks.Log(failures_.back());
  }

  void Store(const DataFile& file, std::span<const uint8_t> bytes, const std::string& origin) {
    WriteFileAtomically(folder_ / file.name, bytes);
    ++summary_.fetched;
    options_.callbacks.Log(
        fmt::format("{}: {} bytes, verified, from {}", file.name, bytes.size(), origin));
  }

  const DatasetInfo& info_;
  const fs::path folder_;
  const FetchOptions& options_;
  FetchSummary summary_;
  Files missing_;
  std::vector<std::string> failures_;
};

void RemoveLeftovers(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (IsTemporaryName(entry.path().filename().string())) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

FetchSummary FetchDataset(const DatasetInfo& info, const fs::path& data_dir,
                          const FetchOptions& options,
                          std::span<const std::unique_ptr<Source>> sources) {
  // A complete folder needs no lock and may be read-only.
  const std::vector<FileReport> reports = VerifyDataset(info, data_dir);
  if (std::all_of(reports.begin(), reports.end(),
                  [](const FileReport& report) { return report.state == FileState::kOk; })) {
    return {static_cast<int>(reports.size()), 0};
  }

  Fetch fetch(info, data_dir, options);
  RequireWritableFolder(fetch.folder());
  const FolderLock lock(fetch.folder(), [&] {
    options.callbacks.Log(
        fmt::format("waiting for another fetch into {}", fetch.folder().string()));
  });
  // A writer killed half-way left these; under the lock nobody else is writing.
  if (lock.held()) RemoveLeftovers(fetch.folder());

  fetch.TakeStock();
  fetch.DecodeCompressedInPlace();
  for (const std::unique_ptr<Source>& source : sources) {
    if (fetch.complete()) break;
    fetch.TakeFrom(*source);
  }
  fetch.RequireComplete();
  return fetch.summary();
}

FetchSummary FetchDataset(const DatasetInfo& info, const fs::path& data_dir,
                          const FetchOptions& options) {
  return FetchDataset(info, data_dir, options, DefaultSources(info));
}

}  // namespace cddp
