#include "trainer/threads.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

namespace cddp {
namespace {

bool IsTorchrun() { return std::getenv("TORCHELASTIC_RUN_ID") != nullptr; }

int MachineCores() { return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

// What the user wants each process to have, or 0.
int ThreadsOfEnvironment() {
  const char* value = std::getenv("OMP_NUM_THREADS");
  if (value == nullptr || (IsTorchrun() && std::string_view(value) == "1")) return 0;
  int threads = 0;  // it may be a list, one for each level
  std::from_chars(value, value + std::string_view(value).size(), threads);
  return std::max(0, threads);
}

// Those that the system lets this process run on.
int OwnCores() {
  // Larger than a cpu_set_t: machines of more than 1024 cores exist.
  constexpr int kMostCores = 1 << 16;
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
      CPU_ALLOC(kMostCores), [](cpu_set_t* set) { CPU_FREE(set); });
  const size_t bytes = CPU_ALLOC_SIZE(kMostCores);
  if (sched_getaffinity(0, bytes, mask.get()) != 0) return MachineCores();
  return std::max(1, CPU_COUNT_S(bytes, mask.get()));
}

}  // namespace

std::optional<int> CoresOfQuota(const std::string& cpu_max) {
  std::istringstream text(cpu_max);
  double quota = 0, period = 0;
  if (!(text >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return std::max(1, static_cast<int>(quota / period));
}

int UsableCores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string line;
  std::getline(file, line);
  const int own = OwnCores();
  return std::min(own, CoresOfQuota(line).value_or(own));
}

int ThreadsToShareOut(const TrainOptions& options, int workers) {
  if (options.threads > 0) return options.threads;
  if (const int threads = ThreadsOfEnvironment(); threads > 0) return threads;
  return std::max(1, UsableCores() / workers);
}

int ThreadsPerWorker(const TrainOptions& options, int local_workers) {
  const bool bound = OwnCores() < MachineCores() && !IsTorchrun();
  return ThreadsToShareOut(options, bound ? 1 : local_workers);
}

}  // namespace cddp
