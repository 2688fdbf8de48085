// Device: where a worker computes (--device). What asks libtorch is in torch_device.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cddp {

// What libtorch can compute on besides the CPU.
struct Devices {
  bool cuda_built = false;  // whether this libtorch has CUDA
  int cuda = 0;             // usable CUDA devices, numbered from 0
  bool mps = false;
  bool nccl = false;  // whether this program has NCCL
};

// What there is here. Of the part of the program that has libtorch (torch_device.cc).
Devices PresentDevices();

// `auto`: cuda where there is one, else cpu. Other names stand for themselves: cpu, cuda
// (each worker of a machine takes the next device), cuda:N, mps. Throws
// StatusError(kInvalidArgument) for other names and for what is not there, with what to do.
std::string ResolveDevice(const std::string& name, const Devices& devices);

// Throws StatusError(kInvalidArgument), with what to do, unless `local_workers`, who see the same
// devices, can talk over `backend` (gloo or nccl) with gradients on the resolved `device`.
void RequireBackend(const std::string& backend, const std::string& device, int local_workers,
                    const Devices& devices);

// 0 of cuda, N of cuda:N; -1 of other names.
int CudaNumber(std::string_view name);

// "cpu", "cuda:0", ...: what there is, for people.
std::vector<std::string> NamesOf(const Devices& devices);

}  // namespace cddp
