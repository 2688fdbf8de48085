#include "core/cuda/device.h"

#include <fmt/format.h>

namespace cddp::cuda {
namespace {

// Whether the process has a context on the device. The driver is asked: the runtime would make
// one. Without an answer: true.
bool HasContext(int device) {
  using GetState = int (*)(int device, unsigned* flags, int* active);
  static const auto get_state = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    constexpr const char* kName = "cuDevicePrimaryCtxGetState";
#if CUDART_VERSION >= 12050
    constexpr unsigned kSince = 7000;
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion(kName, &function, kSince, cudaEnableDefault, &found);
#else
    const cudaError_t error = cudaGetDriverEntryPoint(kName, &function, cudaEnableDefault, &found);
#endif
    const bool good = error == cudaSuccess && found == cudaDriverEntryPointSuccess;
    return good ? reinterpret_cast<GetState>(function) : nullptr;
  }();
  unsigned flags = 0;
  int active = 0;
  return get_state == nullptr || get_state(device, &flags, &active) != 0 || active != 0;
}

}  // namespace

DeviceGuard::DeviceGuard(int device) : device_(device) {
  cudaGetDevice(&before_);
  if (device_ != before_) cudaSetDevice(device_);
}

DeviceGuard::~DeviceGuard() {
  if (device_ != before_ && HasContext(before_)) cudaSetDevice(before_);
}

Status StatusOf(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Status::Ok();
  cudaGetLastError();  // who looks next must not find it again
  return Status::Unavailable(
      fmt::format("CUDA: {}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error)));
}

Status OutOfMemory(cudaError_t error, size_t bytes) {
  if (error != cudaErrorMemoryAllocation) return StatusOf(error, "allocating memory");
  cudaGetLastError();  // the error has been dealt with
  size_t free = 0;
  size_t total = 0;
  cudaMemGetInfo(&free, &total);
  constexpr double kMebi = 1 << 20;
  return Status::Unavailable(
      fmt::format("the GPU has no room for {:.0f} MiB more: {:.0f} of its {:.0f} MiB are free; use "
                  "a smaller batch or model, or a memory that keeps less (residual instead of dgc)",
                  static_cast<double>(bytes) / kMebi, static_cast<double>(free) / kMebi,
                  static_cast<double>(total) / kMebi));
}

}  // namespace cddp::cuda
