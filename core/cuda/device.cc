#include "core/cuda/device.h"

#include <fmt/format.h>

namespace cddp::cuda {

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
