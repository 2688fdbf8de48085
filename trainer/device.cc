#include "trainer/device.h"

#include <fmt/format.h>

#include <charconv>

#include "trainer/failure.h"

namespace cddp {
namespace {

void RequireCuda(const std::string& name, const Devices& devices) {
  if (!devices.cuda_built) {
    Refuse(fmt::format(
        "--device {}: this program's libtorch was built without CUDA; build it with one that has "
        "CUDA (cmake -D CDDP_TORCH_FROM=python takes that of a PyTorch for CUDA), or use "
        "--device cpu",
        name));
  }
  if (devices.cuda == 0) {
    Refuse(fmt::format(
        "--device {}: there is no usable CUDA device; nvidia-smi tells whether the machine has one "
        "and whether its driver is new enough; or use --device cpu",
        name));
  }
}

}  // namespace

int CudaNumber(std::string_view name) {
  if (name == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return -1;
  const std::string_view digits = name.substr(kPrefix.size());
  int number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? number : -1;
}

std::string ResolveDevice(const std::string& name, const Devices& devices) {
  if (name == "auto") return devices.cuda > 0 ? "cuda" : "cpu";
  if (name == "cpu") return name;
  if (name == "mps") {
    if (!devices.mps) {
      Refuse("--device mps: this program's libtorch has no Metal device; use --device cpu");
    }
    return name;
  }
  const int number = CudaNumber(name);
  if (number < 0) {
    Refuse(fmt::format("--device is auto, cpu, cuda, cuda:N or mps, got \"{}\"", name));
  }
  RequireCuda(name, devices);
  if (name != "cuda" && number >= devices.cuda) {
    Refuse(fmt::format("--device {}: this machine has {}", name,
                       devices.cuda == 1
                           ? "one CUDA device, cuda:0"
                           : fmt::format("the CUDA devices cuda:0 to cuda:{}", devices.cuda - 1)));
  }
  return name;
}

void RequireBackend(const std::string& backend, const std::string& device, int local_workers,
                    const Devices& devices) {
  if (backend != "nccl") return;
  const auto refuse = [](const std::string& why) {
    Refuse(fmt::format("--backend nccl: {}, or use --backend gloo", why));
  };
  if (!devices.nccl) {
    refuse(
        "this program was built without NCCL; build it with CUDA and the libtorch of a PyTorch "
        "for CUDA (cmake -D CDDP_TORCH_FROM=python -D CDDP_CUDA=ON)");
  }
  if (CudaNumber(device) < 0) refuse(fmt::format("gradients are on {}; use --device cuda", device));
  const int own = device == "cuda" ? devices.cuda : 1;
  if (local_workers > own) {
    refuse(
        fmt::format("each worker needs a GPU of its own, {} workers of this machine share {}; "
                    "start fewer",
                    local_workers, own));
  }
}

std::vector<std::string> NamesOf(const Devices& devices) {
  std::vector<std::string> names{"cpu"};
  for (int i = 0; i < devices.cuda; ++i) names.push_back(fmt::format("cuda:{}", i));
  if (devices.mps) names.push_back("mps");
  return names;
}

}  // namespace cddp
