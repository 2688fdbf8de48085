// Folders as a training leaves them, for the tests of the report.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "trainer/data/temporary_folder.h"

namespace cddp {

class RunFolders {
 public:
  // A run of `epochs` epochs of 100 steps, a record of metrics every 50; its loss falls from
  // 1 / 1 as 1 / epoch, an epoch takes 10 s, a step sends 1000 bytes.
  std::filesystem::path MakeRun(const std::string& name, int epochs = 2) const;

  void Write(const std::filesystem::path& file, const std::string& text) const;
  void WriteJson(const std::filesystem::path& file, const nlohmann::json& json) const;
  // Changes what the file says.
  void Set(const std::filesystem::path& file, const std::string& key,
           const nlohmann::json& value) const;

  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

std::string TextOf(const std::filesystem::path& file);

// One line of metrics.jsonl.
std::string StepLine(uint64_t step, int epoch, double loss);
std::string EpochLine(uint64_t step, int epoch);

// test.json of two classes.
nlohmann::json TestResult();

}  // namespace cddp
