// Workers that other launchers than torchrun start.
#include "tests/program/program.h"

namespace cddp {
namespace {

using LaunchersTest = ProgramTest;

std::vector<std::string> ShortTraining() {
  return {"train",
          "--data-dir",
          CDDP_DATA,
          "--compress",
          "--epochs",
          "1",
          "--max-train-samples",
          "640",
          "--max-test-samples",
          "500",
          "--threads",
          "1",
          "--json",
          "result.json"};
}

// With what these programs need to run as root, and on few cores.
TEST_F(LaunchersTest, MpirunAndMpiexec) {
  bool any = false;
  for (const std::string launcher : {"mpirun", "mpirun.openmpi", "mpiexec.hydra"}) {
    if (std::system(("command -v " + launcher + " > /dev/null").c_str()) != 0) continue;
    any = true;
    std::vector<std::string> arguments{"/usr/bin/env", launcher, "-n", "2", CDDP_PROGRAM};
    for (const std::string& argument : ShortTraining()) arguments.push_back(argument);
    Child child(arguments,
                {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                 {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                 {"OMPI_MCA_rmaps_base_oversubscribe", "1"}},
                folder_.path());
    ASSERT_EQ(child.Wait(seconds(120)), 0) << launcher << child.err();
    EXPECT_EQ(Json("result.json")["world_size"], 2) << launcher;
    EXPECT_GT(Json("result.json")["tx_bytes_per_step"], 0) << launcher;
    std::filesystem::remove(folder_.path() / "result.json");
  }
  if (!any) GTEST_SKIP() << "neither Open MPI nor MPICH is installed";
}

// As srun starts them, on one machine. The job is this process: its port is free.
TEST_F(LaunchersTest, StepsOfSlurm) {
  std::vector<Child> workers;
  for (const char* rank : {"0", "1"}) {
    workers.push_back(Start(ShortTraining(), {{"SLURM_JOB_ID", std::to_string(getpid())},
                                              {"SLURM_STEP_ID", "0"},
                                              {"SLURM_PROCID", rank},
                                              {"SLURM_NTASKS", "2"},
                                              {"SLURM_STEP_NUM_TASKS", "2"},
                                              {"SLURM_STEP_NUM_NODES", "1"},
                                              {"SLURM_STEP_NODELIST", "node[007]"}}));
  }
  for (Child& worker : workers) EXPECT_EQ(worker.Wait(seconds(120)), 0) << worker.err();
  EXPECT_EQ(Json("result.json")["world_size"], 2);
}

// What only rank 0 looks at, all end with, and none takes another for lost.
TEST_F(LaunchersTest, WhatRankZeroRefusesAllRefuse) {
  std::vector<Child> workers;
  for (const char* rank : {"0", "1"}) {
    std::vector<std::string> arguments = ShortTraining();
    arguments.back() = "nowhere/result.json";
    workers.push_back(
        Start(arguments, {{"RANK", rank},
                          {"WORLD_SIZE", "2"},
                          {"MASTER_PORT", std::to_string(20000 + getpid() % 10000)}}));
  }
  for (Child& worker : workers) {
    EXPECT_EQ(worker.Wait(seconds(120)), 2) << worker.err();
    EXPECT_NE(worker.err().find("nowhere"), std::string::npos) << worker.err();
  }
}

// Reliability scorecard, row 26: ports and meeting places of their own.
TEST_F(LaunchersTest, TwentyLaunchesAtOnce) {
  std::vector<Child> launches;
  for (int i = 0; i < 20; ++i) {
    launches.push_back(
        Start({"bench", "sync", "--workers", "2", "--threads", "1", "--shapes", "simple_cnn",
               "--collective", "split", "--steps", "2", "--warmup", "2"}));
  }
  for (Child& launch : launches) EXPECT_EQ(launch.Wait(seconds(120)), 0) << launch.err();
}

// In a batch script there are Slurm's variables, but no step.
TEST_F(LaunchersTest, AnAllocationWithoutSrunIsOneWorker) {
  const Child::Environment batch = {
      {"SLURM_JOB_ID", "4711"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}};
  Child alone = Start(ShortTraining(), batch);
  EXPECT_EQ(alone.Wait(seconds(120)), 0) << alone.err();
  EXPECT_EQ(Json("result.json")["world_size"], 1);
  std::vector<std::string> arguments = ShortTraining();
  arguments.insert(arguments.end(), {"--workers", "2"});
  Child local = Start(arguments, batch);
  EXPECT_EQ(local.Wait(seconds(120)), 0) << local.err();
  EXPECT_EQ(Json("result.json")["world_size"], 2);
}

TEST_F(LaunchersTest, WorkersHaveTheThreadsThatTheEnvironmentSays) {
  Child child = Start({"train", "--data-dir", CDDP_DATA, "--workers", "2", "--epochs", "1",
                       "--max-train-samples", "128", "--max-test-samples", "100"},
                      {{"OMP_NUM_THREADS", "3"}});
  ASSERT_EQ(child.Wait(seconds(120)), 0) << child.err();
  const auto config = nlohmann::json::parse(ReadText(Runs().at(0) / "config.json"));
  EXPECT_EQ(config["threads"], 3);
}

TEST_F(LaunchersTest, WorkersOfALauncherStartNoOthers) {
  std::vector<std::string> arguments = ShortTraining();
  arguments.insert(arguments.end(), {"--workers", "2"});
  Child child = Start(arguments, {{"OMPI_COMM_WORLD_RANK", "0"},
                                  {"OMPI_COMM_WORLD_SIZE", "2"},
                                  {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(child.Wait(seconds(60)), 2);
  EXPECT_NE(child.err().find("--workers 2 starts workers of its own, but this process is one that "
                             "mpirun has started"),
            std::string::npos)
      << child.err();
}

TEST_F(LaunchersTest, MpirunOverMachinesWithoutAnAddressIsRefused) {
  Child child = Start(ShortTraining(), {{"OMPI_COMM_WORLD_RANK", "0"},
                                        {"OMPI_COMM_WORLD_SIZE", "2"},
                                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}});
  EXPECT_EQ(child.Wait(seconds(60)), 2);
  EXPECT_NE(child.err().find("set MASTER_ADDR"), std::string::npos) << child.err();
}

}  // namespace
}  // namespace cddp
