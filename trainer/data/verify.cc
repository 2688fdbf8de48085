#include "trainer/data/verify.h"

#include <system_error>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/sha256.h"

namespace cddp {

namespace fs = std::filesystem;

const char* FileStateName(FileState state) {
  switch (state) {
    case FileState::kOk:
      return "ok";
    case FileState::kMissing:
      return "missing";
    case FileState::kWrongSize:
      return "wrong size";
    case FileState::kAltered:
      return "altered";
    case FileState::kUnreadable:
      return "unreadable";
  }
  return "unknown";
}

fs::path DataFilePath(const DatasetInfo& info, const DataFile& file, const fs::path& data_dir) {
  return data_dir / info.name / file.name;
}

FileReport VerifyFile(const DataFile& file, const fs::path& path) {
  FileReport report{file.name, path, FileState::kMissing, 0, ""};
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return report;
  report.state = FileState::kUnreadable;
  if (status.type() != fs::file_type::regular) return report;
  report.bytes = fs::file_size(path, error);
  if (error) {
    report.bytes = 0;
    return report;
  }
  if (report.bytes != file.bytes) {
    report.state = FileState::kWrongSize;
    return report;
  }
  try {
    report.sha256 = Sha256Hex(ReadFileBytes(path, file.bytes));
  } catch (const StatusError&) {
    return report;
  }
  report.state = report.sha256 == file.sha256 ? FileState::kOk : FileState::kAltered;
  return report;
}

std::vector<FileReport> VerifyDataset(const DatasetInfo& info, const fs::path& data_dir) {
  std::vector<FileReport> reports;
  for (const DataFile& file : info.files) {
    reports.push_back(VerifyFile(file, DataFilePath(info, file, data_dir)));
  }
  return reports;
}

}  // namespace cddp
