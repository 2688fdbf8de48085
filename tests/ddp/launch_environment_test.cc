#include "ddp/launch_environment.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cddp/status.h"

namespace cddp {
namespace {

using Variables = std::map<std::string, std::string>;

LaunchEnvironment Read(const Variables& variables) {
  return ReadLaunchEnvironment([&](const char* name) {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

Variables With(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

std::string Refusal(const Variables& variables) {
  try {
    Read(variables);
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

// As each launcher sets them; srun's for task 5 of six on three machines.
const Variables kTorchrun{
    {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}};
const Variables kMpirun{{"OMPI_COMM_WORLD_RANK", "1"},
                        {"OMPI_COMM_WORLD_SIZE", "2"},
                        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                        {"PMIX_NAMESPACE", "671350785"}};
const Variables kMpiexec{
    {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}};
const Variables kSrun{{"SLURM_JOB_ID", "4711"},
                      {"SLURM_STEP_ID", "0"},
                      {"SLURM_PROCID", "5"},
                      {"SLURM_LOCALID", "1"},
                      {"SLURM_NODEID", "2"},
                      {"SLURM_NTASKS", "6"},
                      {"SLURM_STEP_NUM_TASKS", "6"},
                      {"SLURM_STEP_NUM_NODES", "3"},
                      {"SLURM_STEP_NODELIST", "node[007,009-010]"},
                      {"SLURM_STEP_TASKS_PER_NODE", "2(x2),2"}};

TEST(LaunchEnvironment, SaysTheRankAmongTheWorkersOfTheMachine) {
  for (const Variables& variables : {kTorchrun, kMpirun, kMpiexec, kSrun}) {
    EXPECT_EQ(Read(variables).local_rank, 1) << Read(variables).launcher;
  }
  EXPECT_EQ(Read({}).local_rank, 0);
  EXPECT_EQ(Read({{"RANK", "1"}, {"WORLD_SIZE", "2"}}).local_rank, 0);
}

TEST(LaunchEnvironment, NoLauncherIsOneWorker) {
  const LaunchEnvironment launch = Read({});
  EXPECT_EQ(launch.launcher, "");
  EXPECT_EQ(launch.rank, 0);
  EXPECT_EQ(launch.world_size, 1);
}

TEST(LaunchEnvironment, Torchrun) {
  const LaunchEnvironment launch = Read(
      With(kTorchrun, {{"MASTER_ADDR", "10.0.0.1"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}}));
  EXPECT_EQ(launch.launcher, "torchrun");
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.world_size, 4);
  EXPECT_EQ(launch.local_world_size, 2);
  EXPECT_EQ(launch.master_address, "10.0.0.1");
  EXPECT_EQ(launch.master_port, 29500);
  EXPECT_TRUE(launch.agent_store);
}

TEST(LaunchEnvironment, MpirunOnOneMachine) {
  const LaunchEnvironment launch = Read(kMpirun);
  EXPECT_EQ(launch.launcher, "mpirun");
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.world_size, 2);
  EXPECT_EQ(launch.local_world_size, 2);
  EXPECT_EQ(launch.master_address, "127.0.0.1");
  EXPECT_GE(launch.master_port, 15'000);
  EXPECT_LT(launch.master_port, 25'000);
  EXPECT_EQ(Read(With(kMpirun, {{"OMPI_COMM_WORLD_RANK", "0"}})).master_port, launch.master_port);
  EXPECT_NE(Read(With(kMpirun, {{"PMIX_NAMESPACE", "671350786"}})).master_port, launch.master_port);
}

TEST(LaunchEnvironment, MpiexecOnOneMachine) {
  const LaunchEnvironment launch = Read(kMpiexec);
  EXPECT_EQ(launch.launcher, "mpiexec");
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.world_size, 2);
  EXPECT_EQ(launch.master_address, "127.0.0.1");
}

TEST(LaunchEnvironment, MpiOverMachinesNeedsAnAddress) {
  const Variables mpirun = With(kMpirun, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}});
  EXPECT_NE(Refusal(mpirun).find("mpirun -x MASTER_ADDR=HOST"), std::string::npos);
  EXPECT_EQ(Read(With(mpirun, {{"MASTER_ADDR", "node7"}})).master_address, "node7");
  const Variables mpiexec = With(kMpiexec, {{"MPI_LOCALNRANKS", "1"}});
  EXPECT_NE(Refusal(mpiexec).find("mpiexec -genv MASTER_ADDR HOST"), std::string::npos);
}

TEST(LaunchEnvironment, SrunMeetsAtTheFirstHost) {
  const LaunchEnvironment launch = Read(kSrun);
  EXPECT_EQ(launch.launcher, "srun");
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.world_size, 6);
  EXPECT_EQ(launch.local_world_size, 2);
  EXPECT_EQ(launch.master_address, "node007");
  EXPECT_GE(launch.master_port, 15'000);
  EXPECT_LT(launch.master_port, 25'000);
  // Two steps of a job may run at a time.
  EXPECT_NE(Read(With(kSrun, {{"SLURM_STEP_ID", "1"}})).master_port, launch.master_port);
  EXPECT_EQ(Read(With(kSrun, {{"MASTER_ADDR", "ib0"}, {"MASTER_PORT", "1234"}})).master_address,
            "ib0");
  EXPECT_EQ(Read(With(kSrun, {{"MASTER_PORT", "1234"}})).master_port, 1234);
}

TEST(LaunchEnvironment, NodeListsOfSlurm) {
  const std::vector<std::pair<std::string, std::string>> lists = {
      {"node[001-003,007]", "node001"},
      {"node[007,001-003]", "node007"},
      {"node7", "node7"},
      {"a1,b[1-2]", "a1"},
      {"gpu-[3-5]-ib,x", "gpu-3-ib"},
      {"rack[0-1]node[00-15]", "rack0node00"},
      {"n1.example.org", "n1.example.org"}};
  for (const auto& [list, first] : lists) {
    EXPECT_EQ(Read(With(kSrun, {{"SLURM_STEP_NODELIST", list}})).master_address, first) << list;
  }
  for (const char* list : {"", ",", "node[", "node[]", "node[1-3", "node]", "node[,2]"}) {
    const std::string refusal = Refusal(With(kSrun, {{"SLURM_STEP_NODELIST", list}}));
    EXPECT_NE(refusal.find("SLURM_STEP_NODELIST"), std::string::npos) << list << ": " << refusal;
    EXPECT_NE(refusal.find("MASTER_ADDR"), std::string::npos) << list;
  }
}

TEST(LaunchEnvironment, TasksOfEachNodeOfSlurm) {
  const std::vector<std::tuple<std::string, std::string, int>> lists = {
      {"2(x2),3", "0", 2}, {"2(x2),3", "1", 2}, {"2(x2),3", "2", 3}, {"4,1(x2)", "0", 4}};
  for (const auto& [list, node, tasks] : lists) {
    const Variables variables =
        With(kSrun, {{"SLURM_STEP_TASKS_PER_NODE", list}, {"SLURM_NODEID", node}});
    EXPECT_EQ(Read(variables).local_world_size, tasks) << list << " " << node;
  }
  for (const char* list :
       {"", "2", "2(x", "2(x)", "x(x3)", "0(x3)", "2(x-1),2", "2(x99999999999)"}) {
    const std::string refusal = Refusal(With(kSrun, {{"SLURM_STEP_TASKS_PER_NODE", list}}));
    EXPECT_NE(refusal.find("SLURM_STEP_TASKS_PER_NODE"), std::string::npos) << list;
  }
}

TEST(LaunchEnvironment, SrunOnOneMachineStaysOnIt) {
  const LaunchEnvironment launch = Read(With(kSrun, {{"SLURM_STEP_NUM_NODES", "1"}}));
  EXPECT_EQ(launch.master_address, "127.0.0.1");
  EXPECT_EQ(launch.local_world_size, 6);
}

// Without srun: one worker, which may start local ones.
TEST(LaunchEnvironment, AnAllocationIsNoStep) {
  Variables batch{{"SLURM_JOB_ID", "4711"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}};
  for (const char* step : {"", "4294967291", "4294967290"}) {
    if (*step != '\0') batch["SLURM_STEP_ID"] = step;
    const LaunchEnvironment launch = Read(batch);
    EXPECT_EQ(launch.launcher, "") << step;
    EXPECT_EQ(launch.world_size, 1) << step;
  }
  // srun --pty bash in an allocation of eight tasks.
  const LaunchEnvironment shell =
      Read(With(kSrun, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}));
  EXPECT_EQ(shell.launcher, "");
  EXPECT_EQ(shell.world_size, 1);
}

TEST(LaunchEnvironment, TheInnermostLauncherCounts) {
  EXPECT_EQ(Read(With(With(kTorchrun, kMpirun), kSrun)).launcher, "torchrun");
  EXPECT_EQ(Read(With(With(kMpirun, kMpiexec), kSrun)).launcher, "mpirun");
  EXPECT_EQ(Read(With(kMpiexec, kSrun)).launcher, "mpiexec");
  // srun --mpi=pmi2
  const LaunchEnvironment pmi = Read(With(kSrun, {{"PMI_RANK", "5"}, {"PMI_SIZE", "6"}}));
  EXPECT_EQ(pmi.launcher, "srun");
  EXPECT_EQ(pmi.local_world_size, 2);
}

TEST(LaunchEnvironment, HalfAPlaceIsRefused) {
  const std::vector<std::pair<Variables, std::string>> inputs = {
      {{{"RANK", "0"}}, "WORLD_SIZE"},
      {{{"OMPI_COMM_WORLD_SIZE", "2"}}, "OMPI_COMM_WORLD_RANK"},
      {{{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "2"}}, "OMPI_COMM_WORLD_RANK"},
      {{{"MPI_LOCALNRANKS", "2"}, {"PMI_RANK", "1"}}, "PMI_SIZE"},
      {{{"SLURM_STEP_ID", "0"}, {"SLURM_NTASKS", "2"}}, "SLURM_PROCID"},
      {With(kMpirun, {{"MASTER_PORT", "0"}}), "MASTER_PORT"}};
  for (const auto& [variables, name] : inputs) {
    EXPECT_NE(Refusal(variables).find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace cddp
