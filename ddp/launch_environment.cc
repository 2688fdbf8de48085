#include "ddp/launch_environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "cddp/status.h"

namespace cddp {
namespace {

constexpr int kMaxWorld = 65'536;  // ranks are 16 bits wide in a frame

// Steps that Slurm makes itself (batch script, shell of an allocation) have the highest
// numbers.
constexpr uint32_t kFirstReservedStep = 0xfffffff0;

[[noreturn]] void Refuse(const std::string& message) {
  throw StatusError(StatusCode::kInvalidArgument, message);
}

class Variables {
 public:
  explicit Variables(const EnvironmentLookup& lookup) : lookup_(lookup) {}

  std::optional<std::string_view> Text(const char* name) const {
    const char* text = lookup_(name);
    return text == nullptr ? std::nullopt : std::optional<std::string_view>(text);
  }

  std::optional<int> Number(const char* name, int low, int high) const {
    const std::optional<std::string_view> text = Text(name);
    if (!text) return std::nullopt;
    const std::optional<int> value = Parse<int>(*text);
    if (!value || *value < low || *value > high) {
      Refuse(fmt::format("environment variable {} must be a number from {} to {}, got \"{}\"", name,
                         low, high, *text));
    }
    return value;
  }

  template <typename T>
  static std::optional<T> Parse(std::string_view digits) {
    T value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  }

 private:
  const EnvironmentLookup& lookup_;
};

// Rank and size, of which a launcher sets both or none. False without them.
bool ReadPlace(const Variables& variables, const char* rank_name, const char* size_name,
               const char* remedy, LaunchEnvironment* launch) {
  const std::optional<int> size = variables.Number(size_name, 1, kMaxWorld);
  const std::optional<int> rank = variables.Number(rank_name, 0, size.value_or(kMaxWorld) - 1);
  if (size.has_value() != rank.has_value()) {
    Refuse(fmt::format("environment variable {} is set but {} is not: {}, or set both",
                       rank ? rank_name : size_name, rank ? size_name : rank_name, remedy));
  }
  if (!rank) return false;
  launch->rank = *rank;
  launch->world_size = *size;
  return true;
}

// The same on every rank of a job.
int PortOfJob(std::string_view job) {
  constexpr uint32_t kFirst = 15'000;
  constexpr uint32_t kPorts = 10'000;
  uint32_t hash = 0;
  for (const char byte : job) hash = hash * 31 + static_cast<uint8_t>(byte);
  return static_cast<int>(kFirst + hash % kPorts);
}

// The first host of a list such as node[001-003,007],gpu1 or rack[0-1]node[00-15].
std::string FirstHost(const char* name, std::string_view list) {
  std::string host;
  size_t i = 0;
  while (i < list.size() && list[i] != ',') {
    if (list[i] != '[') {
      host += list[i++];
      continue;
    }
    const size_t close = list.find(']', i);
    const std::string_view numbers =
        close == std::string_view::npos ? "" : list.substr(i + 1, close - i - 1);
    const std::string_view first = numbers.substr(0, numbers.find_first_of("-,"));
    if (first.empty()) {
      host.clear();
      break;
    }
    host += first;
    i = close + 1;
  }
  if (host.empty() || host.find_first_of("[] ") != std::string::npos) {
    Refuse(
        fmt::format("environment variable {} is no list of hosts such as node[001-003,007]: "
                    "\"{}\"; set MASTER_ADDR to the host of rank 0",
                    name, list));
  }
  return host;
}

// How many tasks node number `node` has, of a list such as 2(x3),1.
int TasksOfNode(const char* name, std::string_view list, int node) {
  std::string_view rest = list;
  while (!rest.empty()) {
    std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    std::optional<int> nodes = 1;
    if (const size_t open = item.find("(x"); open != std::string_view::npos && item.back() == ')') {
      nodes = Variables::Parse<int>(item.substr(open + 2, item.size() - open - 3));
      item = item.substr(0, open);
    }
    const std::optional<int> tasks = Variables::Parse<int>(item);
    if (!tasks || *tasks < 1 || *tasks > kMaxWorld || !nodes || *nodes < 1) break;
    if (node < *nodes) return *tasks;
    node -= *nodes;
  }
  Refuse(fmt::format("environment variable {} does not say how many tasks this node has: \"{}\"",
                     name, list));
}

int LocalRank(const Variables& variables, const char* name) {
  return variables.Number(name, 0, kMaxWorld - 1).value_or(0);
}

void ReadTorchrun(const Variables& variables, LaunchEnvironment* launch) {
  launch->launcher = "torchrun";
  launch->local_world_size =
      variables.Number("LOCAL_WORLD_SIZE", 1, launch->world_size).value_or(1);
  launch->local_rank = LocalRank(variables, "LOCAL_RANK");
  launch->restart_count = variables.Number("TORCHELASTIC_RESTART_COUNT", 0, 1 << 30).value_or(0);
  launch->agent_store = variables.Text("TORCHELASTIC_USE_AGENT_STORE") == "True";
}

// Those of mpirun or mpiexec, which do not say where rank 0 is.
void ReadMpi(const Variables& variables, const char* launcher, const char* local_rank_name,
             const char* local_size_name, LaunchEnvironment* launch) {
  launch->launcher = launcher;
  launch->local_rank = LocalRank(variables, local_rank_name);
  launch->local_world_size = variables.Number(local_size_name, 1, launch->world_size).value_or(1);
  if (launch->local_world_size < launch->world_size && !variables.Text("MASTER_ADDR")) {
    Refuse(
        fmt::format("{} has started {} workers, {} of them here, but not said where rank 0 is: "
                    "set MASTER_ADDR to its host for every worker ({})",
                    launcher, launch->world_size, launch->local_world_size,
                    launch->launcher == "mpirun" ? "mpirun -x MASTER_ADDR=HOST ..."
                                                 : "mpiexec -genv MASTER_ADDR HOST ..."));
  }
}

// False for what srun has not started.
bool ReadSlurm(const Variables& variables, LaunchEnvironment* launch) {
  const std::optional<std::string_view> step = variables.Text("SLURM_STEP_ID");
  if (!step || Variables::Parse<uint32_t>(*step).value_or(kFirstReservedStep) >= kFirstReservedStep)
    return false;
  if (!ReadPlace(variables, "SLURM_PROCID",
                 variables.Text("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS",
                 "start the workers with srun", launch)) {
    return false;
  }
  launch->launcher = "srun";
  launch->local_rank = LocalRank(variables, "SLURM_LOCALID");
  launch->local_world_size = launch->world_size;
  if (variables.Number("SLURM_STEP_NUM_NODES", 1, kMaxWorld).value_or(1) > 1) {
    constexpr char kHosts[] = "SLURM_STEP_NODELIST";
    constexpr char kTasks[] = "SLURM_STEP_TASKS_PER_NODE";
    launch->master_address = FirstHost(kHosts, variables.Text(kHosts).value_or(""));
    launch->local_world_size =
        TasksOfNode(kTasks, variables.Text(kTasks).value_or(""),
                    variables.Number("SLURM_NODEID", 0, kMaxWorld).value_or(0));
  }
  launch->master_port =
      PortOfJob(fmt::format("{}.{}", variables.Text("SLURM_JOB_ID").value_or(""), *step));
  return true;
}

bool ReadLauncher(const Variables& variables, LaunchEnvironment* launch) {
  if (ReadPlace(variables, "RANK", "WORLD_SIZE",
                "start the workers with torchrun or with --workers N", launch)) {
    ReadTorchrun(variables, launch);
    return true;
  }
  if (ReadPlace(variables, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                "start the workers with mpirun", launch)) {
    ReadMpi(variables, "mpirun", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
            launch);
    if (const auto job = variables.Text("PMIX_NAMESPACE")) launch->master_port = PortOfJob(*job);
    return true;
  }
  // Slurm's PMI sets the first two as well, but not the third.
  if (variables.Text("MPI_LOCALNRANKS") &&
      ReadPlace(variables, "PMI_RANK", "PMI_SIZE", "start the workers with mpiexec", launch)) {
    ReadMpi(variables, "mpiexec", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", launch);
    return true;
  }
  return ReadSlurm(variables, launch);
}

}  // namespace

LaunchEnvironment ReadLaunchEnvironment() {
  return ReadLaunchEnvironment([](const char* name) { return std::getenv(name); });
}

LaunchEnvironment ReadLaunchEnvironment(const EnvironmentLookup& lookup) {
  const Variables variables(lookup);
  LaunchEnvironment launch;
  if (ReadLauncher(variables, &launch) && launch.launcher != "torchrun" && launch.world_size == 1) {
    return {};
  }
  launch.master_port = variables.Number("MASTER_PORT", 1, 65'535).value_or(launch.master_port);
  if (const auto address = variables.Text("MASTER_ADDR")) launch.master_address = *address;
  return launch;
}

}  // namespace cddp
