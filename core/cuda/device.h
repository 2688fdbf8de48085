// CUDA's errors as Status, and memory that frees itself. Included by what nvcc or a
// compiler with CUDA's headers builds, never by a public header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "cddp/status.h"

namespace cddp::cuda {

// Unavailable, with what was done, CUDA's name for the error and its words.
Status StatusOf(cudaError_t error, const char* what);
// Of memory: with how much was asked for, how much is free and what to lower.
Status OutOfMemory(cudaError_t error, size_t bytes);

// Makes a device the thread's current one, as it was before at the end; but not one that the
// process does not use: that would take some hundred MB of its memory for a context.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  const int device_;
  int before_ = 0;
};

// An array in device memory. It grows, and then its content is lost; Fill makes it as
// long as what is copied.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&& other) noexcept { *this = std::move(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceArray() { cudaFree(data_); }

  Status Make(size_t size) {
    if (size <= size_) return Status::Ok();
    cudaFree(std::exchange(data_, nullptr));
    size_ = 0;
    const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T));
    if (error != cudaSuccess) return OutOfMemory(error, size * sizeof(T));
    size_ = size;
    return Status::Ok();
  }
  // In stream order.
  Status MakeZero(size_t size, cudaStream_t stream) {
    CDDP_RETURN_IF_ERROR(Make(size));
    return StatusOf(cudaMemsetAsync(data_, 0, size * sizeof(T), stream), "clearing memory");
  }
  // Waits until it is done.
  Status Fill(const std::vector<T>& from, cudaStream_t stream) {
    CDDP_RETURN_IF_ERROR(Make(from.size()));
    CDDP_RETURN_IF_ERROR(StatusOf(cudaMemcpyAsync(data_, from.data(), from.size() * sizeof(T),
                                                  cudaMemcpyHostToDevice, stream),
                                  "copying to the device"));
    return StatusOf(cudaStreamSynchronize(stream), "copying to the device");
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// The same in the host's memory, pinned: copies to and from the device are asynchronous.
template <typename T>
class PinnedArray {
 public:
  PinnedArray() = default;
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray() { cudaFreeHost(data_); }

  Status Make(size_t size) {
    if (size <= size_) return Status::Ok();
    cudaFreeHost(std::exchange(data_, nullptr));
    size_ = 0;
    const cudaError_t error = cudaMallocHost(reinterpret_cast<void**>(&data_), size * sizeof(T));
    if (error != cudaSuccess) return StatusOf(error, "pinning memory of the host");
    size_ = size;
    return Status::Ok();
  }

  T* data() const { return data_; }
  T& operator*() const { return *data_; }
  T* operator->() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace cddp::cuda
