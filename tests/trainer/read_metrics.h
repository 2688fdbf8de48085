// What a reader of a run's metrics sees.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace cddp {

// The objects of a file or a text with one JSON object a line; of one that was being
// written when its writer was killed, the last line may be torn: it is left out.
inline std::vector<nlohmann::json> ReadJsonLines(std::istream& text) {
  std::vector<nlohmann::json> records;
  for (std::string line; std::getline(text, line);) {
    if (text.eof()) break;  // no line end
    records.push_back(nlohmann::json::parse(line));
  }
  return records;
}

inline std::vector<nlohmann::json> ReadJsonLines(const std::filesystem::path& path) {
  std::ifstream file(path);
  return ReadJsonLines(file);
}

// Those of the event files in `folder`.
inline std::vector<std::filesystem::path> EventFiles(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) {
      files.push_back(entry.path());
    }
  }
  return files;
}

inline bool HavePython() { return std::system("python3 --version > /dev/null 2>&1") == 0; }

// By tests/python/read_events.py; fails the test when the file is damaged.
inline std::vector<nlohmann::json> ReadEvents(const std::filesystem::path& path) {
  const std::string command =
      "python3 " CDDP_SOURCE "/tests/python/read_events.py '" + path.string() + "'";
  FILE* pipe = popen(command.c_str(), "r");
  std::stringstream text;
  char bytes[4096];
  for (size_t count; (count = fread(bytes, 1, sizeof bytes, pipe)) > 0;) {
    text.write(bytes, static_cast<std::streamsize>(count));
  }
  EXPECT_EQ(pclose(pipe), 0);
  return ReadJsonLines(text);
}

}  // namespace cddp
