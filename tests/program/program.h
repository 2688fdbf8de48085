// Starts the program in a folder of the test's own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/program/child.h"

namespace cddp {

using std::chrono::seconds;

class ProgramTest : public testing::Test {
 protected:
  Child Start(std::vector<std::string> arguments, const Child::Environment& environment = {}) {
    arguments.insert(arguments.begin(), CDDP_PROGRAM);
    return Child(arguments, environment, folder_.path());
  }

  // A training run of MNIST with the data of the build, evaluated on some of the images.
  static std::vector<std::string> Train(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "--data-dir", CDDP_DATA, "--max-test-samples",
                                       "1000"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // One of `world` workers that meet through a file.
  Child StartWorker(int rank, int world, std::vector<std::string> more) {
    more.insert(more.end(), {"--rendezvous", "file:" + (folder_.path() / "meeting").string(),
                             "--threads", "1"});
    return Start(Train(more), {{"RANK", std::to_string(rank)},
                               {"WORLD_SIZE", std::to_string(world)},
                               {"LOCAL_WORLD_SIZE", std::to_string(world)}});
  }

  nlohmann::json Json(const std::string& name) const {
    return nlohmann::json::parse(ReadText(folder_.path() / name));
  }

  // The folders of the runs so far.
  std::vector<std::filesystem::path> Runs() const {
    std::vector<std::filesystem::path> runs;
    std::error_code none_yet;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path() / "runs", none_yet)) {
      if (entry.is_directory()) runs.push_back(entry.path());
    }
    return runs;
  }

  // Waits until rank 0 has made its run folder: all workers are connected then.
  void WaitForTraining() const {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (Runs().empty() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::this_thread::sleep_for(seconds(1));
  }

  TestFolder folder_;
};

}  // namespace cddp
