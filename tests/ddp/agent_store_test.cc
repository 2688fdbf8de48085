// torchrun's agent serves the store; every worker is a client of it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ddp/torch_seam.h"
#include "tests/program/child.h"

namespace cddp {
namespace {

TEST(AgentStore, WorkersMeetThroughIt) {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  torch_seam::UsePlainSockets(options);
  const auto agent = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);

  const TestFolder folder;
  for (const char* attempt : {"0", "1"}) {  // the agent starts workers again after a failure
    std::vector<Child> workers;
    for (const char* rank : {"0", "1"}) {
      workers.emplace_back(
          std::vector<std::string>{CDDP_PROGRAM, "train", "--data-dir", CDDP_DATA, "--epochs", "1",
                                   "--max-train-samples", "640", "--json", "result.json"},
          Child::Environment{{"RANK", rank},
                             {"LOCAL_RANK", rank},
                             {"WORLD_SIZE", "2"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"MASTER_ADDR", "127.0.0.1"},
                             {"MASTER_PORT", std::to_string(agent->getPort())},
                             {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                             {"TORCHELASTIC_RESTART_COUNT", attempt}},
          folder.path());
    }
    for (Child& worker : workers) EXPECT_EQ(worker.Wait(), 0) << worker.err();
    EXPECT_EQ(nlohmann::json::parse(ReadText(folder.path() / "result.json"))["world_size"], 2);
  }
}

}  // namespace
}  // namespace cddp
