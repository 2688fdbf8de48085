// Everything that differs between the versions of libtorch (1.13, 2.6, 2.11) lives
// here. Differences are told apart by what compiles, not by version numbers.
#pragma once

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cddp {

using ProcessGroupPtr = c10::intrusive_ptr<c10d::ProcessGroup>;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

namespace torch_seam {

// From 2.4 on the store may run on libuv, by default; Debian builds without it.
template <class Options>
void UsePlainSockets(Options& options) {
  if constexpr (requires { options.useLibUV; }) options.useLibUV = false;
}

// In 1.x a ProcessGroupGloo is a ProcessGroup; since 2.0 it is a backend inside one.
template <class Group, class Gloo>
c10::intrusive_ptr<Group> WrapBackend(const Gloo& gloo, const StorePtr& store, int rank, int size,
                                      const std::string& name) {
  if constexpr (std::is_base_of_v<Group, typename Gloo::element_type>) {
    return gloo;
  } else {
    auto group = c10::make_intrusive<Group>(store, rank, size);
    group->setDefaultBackend(Group::BackendType::GLOO);
    // The Reducer agrees on its buckets through a tensor of the parameters' device.
    for (const auto device : {c10::DeviceType::CPU, c10::DeviceType::CUDA}) {
      group->setBackend(device, Group::BackendType::GLOO, gloo);
    }
    group->setGroupName(name);
    return group;
  }
}

// Operations that gain from it run in `type` on this thread, those that need fp32 don't.
// Since 2.4 one function serves all devices. (Arguments of template types, so that names
// that a version lacks are no error there.)
template <class Device, class Flag>
void SetAutocast(Device device, Flag enabled, at::ScalarType type) {
  using namespace at::autocast;
  if constexpr (requires { set_autocast_enabled(device, enabled); }) {
    set_autocast_enabled(device, enabled);
    set_autocast_dtype(device, type);
  } else if (device == at::kCPU) {
    set_cpu_enabled(enabled);
    set_autocast_cpu_dtype(type);
  } else {
    set_enabled(enabled);
    set_autocast_gpu_dtype(type);
  }
}

// Copies each tensor into its counterpart. Since 2.1 one operator does it for all of a type
// together, which on a GPU are few kernels instead of one for each.
template <class Tensors>
void CopyEach(const Tensors& to, const Tensors& from) {
  if constexpr (requires { _foreach_copy_(to, from); }) {
    std::map<at::ScalarType, std::pair<Tensors, Tensors>> by_type;
    for (size_t i = 0; i < from.size(); ++i) {
      auto& [targets, sources] = by_type[from[i].scalar_type()];
      targets.push_back(to[i]);
      sources.push_back(from[i]);
    }
    for (const auto& [type, pair] : by_type) _foreach_copy_(pair.first, pair.second);
  } else {
    for (size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i]);
  }
}

// How an optimiser's state is keyed: by the parameter's address, until 2.0 as text.
template <class States>
auto OptimizerStateKey(const States&, const at::Tensor& parameter) {
  using Key = typename States::key_type;
  if constexpr (std::is_same_v<Key, std::string>) {
    std::ostringstream text;
    text << parameter.unsafeGetTensorImpl();
    return text.str();
  } else {
    return static_cast<Key>(parameter.unsafeGetTensorImpl());
  }
}

struct ReducerArguments {
  std::vector<at::Tensor> parameters;
  std::vector<std::vector<size_t>> buckets;  // indices into parameters
  std::vector<size_t> bucket_limits;         // bytes, per bucket
  ProcessGroupPtr group;
  int64_t bucket_bytes = 0;
  int64_t first_bucket_bytes = 0;
  bool find_unused_parameters = false;
  std::unordered_map<size_t, std::string> names;
};

// The constructor lost an argument after 2.6 and gained three since.
template <class Reducer = c10d::Reducer>
std::shared_ptr<Reducer> MakeReducer(const ReducerArguments& a) {
  using Parameters = std::vector<at::Tensor>;
  using Buckets = std::vector<std::vector<size_t>>;
  using Names = std::unordered_map<size_t, std::string>;
  using Flags = std::vector<bool>;
  const Flags sparse(a.parameters.size(), false);
  constexpr bool kBucketView = true;
  if constexpr (std::is_constructible_v<Reducer, Parameters, Buckets, std::vector<size_t>,
                                        ProcessGroupPtr, Flags, int64_t, bool, bool, Names,
                                        int64_t>) {
    return std::make_shared<Reducer>(a.parameters, a.buckets, a.bucket_limits, a.group, sparse,
                                     a.bucket_bytes, a.find_unused_parameters, kBucketView, a.names,
                                     a.first_bucket_bytes);
  } else if constexpr (std::is_constructible_v<Reducer, Parameters, Buckets, ProcessGroupPtr, Flags,
                                               int64_t, bool, bool, Names, int64_t, bool, bool>) {
    return std::make_shared<Reducer>(a.parameters, a.buckets, a.group, sparse, a.bucket_bytes,
                                     a.find_unused_parameters, kBucketView, a.names,
                                     a.first_bucket_bytes, false, false);
  } else {
    static_assert(
        std::is_constructible_v<Reducer, Parameters, Buckets, ProcessGroupPtr, Flags, int64_t, bool,
                                bool, Names, int64_t, bool, bool, std::vector<int64_t>>,
        "this libtorch has a c10d::Reducer constructor that is not known here");
    return std::make_shared<Reducer>(a.parameters, a.buckets, a.group, sparse, a.bucket_bytes,
                                     a.find_unused_parameters, kBucketView, a.names,
                                     a.first_bucket_bytes, false, false, std::vector<int64_t>{});
  }
}

}  // namespace torch_seam
}  // namespace cddp
