#include "trainer/threads.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace cddp {
namespace {

int MachineCores() { return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

// What the user wants each process to have, or 0.
int ThreadsOfEnvironment() {
  const char* value = std::getenv("OMP_NUM_THREADS");
  const bool is_torchrun = std::getenv("TORCHELASTIC_RUN_ID") != nullptr;
  if (value == nullptr || (is_torchrun && std::string_view(value) == "1")) return 0;
  int threads = 0;  // it may be a list, one for each level
  std::from_chars(value, value + std::string_view(value).size(), threads);
  return std::max(0, threads);
}

}  // namespace

int UsableCores() {
  // Larger than a cpu_set_t: machines of more than 1024 cores exist.
  constexpr int kMostCores = 1 << 16;
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
      CPU_ALLOC(kMostCores), [](cpu_set_t* set) { CPU_FREE(set); });
  const size_t bytes = CPU_ALLOC_SIZE(kMostCores);
  if (sched_getaffinity(0, bytes, mask.get()) != 0) return MachineCores();
  return std::max(1, CPU_COUNT_S(bytes, mask.get()));
}

int ThreadsToShareOut(const TrainOptions& options, int workers) {
  if (options.threads > 0) return options.threads;
  if (const int threads = ThreadsOfEnvironment(); threads > 0) return threads;
  return std::max(1, UsableCores() / workers);
}

int ThreadsPerWorker(const TrainOptions& options, int local_workers) {
  return ThreadsToShareOut(options, UsableCores() < MachineCores() ? 1 : local_workers);
}

}  // namespace cddp
