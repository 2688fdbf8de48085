#include "core/cuda/device_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/sweep.h"

namespace cddp::cuda {

DeviceMemory::DeviceMemory(std::string_view name, cudaStream_t stream)
    : name_(name),
      parts_(MemoryParts(name)),
      kind_(parts_.empty()       ? MemoryKind::kNone
            : parts_.size() == 1 ? MemoryKind::kResidual
                                 : MemoryKind::kDgc),
      stream_(stream) {}

// All zero.
Status DeviceMemory::Allocate(size_t elements, std::shared_ptr<BucketMemory>* memory) const {
  auto made = std::make_shared<BucketMemory>();
  for (int side : {0, 1}) {
    CDDP_RETURN_IF_ERROR(made->residual[side].MakeZero(elements, stream_));
    if (kind_ == MemoryKind::kDgc) {
      CDDP_RETURN_IF_ERROR(made->velocity[side].MakeZero(elements, stream_));
    }
  }
  *memory = std::move(made);
  return Status::Ok();
}

Status DeviceMemory::MoveIn(std::span<const BucketParameter> parameters, size_t elements,
                            std::shared_ptr<BucketMemory>* memory) {
  for (const BucketParameter& parameter : parameters) {
    const auto home = homes_.find(parameter.name);
    if (home != homes_.end() && home->second.elements != parameter.count) {
      return Status::InvalidArgument(
          fmt::format("parameter {} has {} elements in this step but {} in its memory",
                      parameter.name, parameter.count, home->second.elements));
    }
  }
  std::shared_ptr<BucketMemory> to;
  CDDP_RETURN_IF_ERROR(Allocate(elements, &to));
  for (const BucketParameter& parameter : parameters) {
    Home& home = homes_[parameter.name];
    for (size_t part = 0; part < parts_.size() && home.memory != nullptr; ++part) {
      CDDP_RETURN_IF_ERROR(StatusOf(
          cudaMemcpyAsync(to->Part(part) + parameter.offset, home.memory->Part(part) + home.offset,
                          home.elements * sizeof(float), cudaMemcpyDeviceToDevice, stream_),
          "moving a memory"));
    }
    home = {to, parameter.offset, parameter.count};
  }
  *memory = std::move(to);
  return Status::Ok();
}

bool DeviceMemory::AreIn(std::span<const BucketParameter> parameters,
                         const std::shared_ptr<BucketMemory>& memory) const {
  return std::ranges::all_of(parameters, [&](const BucketParameter& parameter) {
    return homes_.find(parameter.name)->second.memory == memory;
  });
}

void DeviceMemory::EndStep(bool commit) {
  for (auto& [name, home] : homes_) {
    BucketMemory& memory = *home.memory;
    if (commit && memory.pending) memory.side = 1 - memory.side;
    memory.pending = false;
  }
}

Status DeviceMemory::Save(MemoryState* state) const {
  state->clear();
  for (const auto& [name, home] : homes_) {
    for (size_t part = 0; part < parts_.size(); ++part) {
      std::vector<float>& values = (*state)[name + std::string(parts_[part])];
      values.resize(home.elements);
      CDDP_RETURN_IF_ERROR(
          StatusOf(cudaMemcpyAsync(values.data(), home.memory->Part(part) + home.offset,
                                   home.elements * sizeof(float), cudaMemcpyDeviceToHost, stream_),
                   "copying a memory from the device"));
    }
  }
  return StatusOf(cudaStreamSynchronize(stream_), "copying memories from the device");
}

Status DeviceMemory::Load(const MemoryState& state) {
  Homes loaded;
  for (const auto& [key, values] : state) {
    const std::optional<MemoryKey> of = ParseMemoryKey(name_, key);
    if (!of) continue;
    Home& home = loaded[of->parameter];
    home.elements = values.size();
    if (home.memory == nullptr) CDDP_RETURN_IF_ERROR(Allocate(values.size(), &home.memory));
    CDDP_RETURN_IF_ERROR(
        StatusOf(cudaMemcpyAsync(home.memory->Part(of->part), values.data(),
                                 values.size() * sizeof(float), cudaMemcpyHostToDevice, stream_),
                 "copying a memory to the device"));
  }
  CDDP_RETURN_IF_ERROR(StatusOf(cudaStreamSynchronize(stream_), "copying memories to the device"));
  homes_.swap(loaded);
  return Status::Ok();
}

NormByParameter DeviceMemory::ResidualNorms() const {
  MemoryState state;
  NormByParameter norms;
  if (!Save(&state).ok()) return norms;  // the next step says what is wrong
  for (const auto& [name, home] : homes_) {
    norms[name] = std::sqrt(SumOfSquares(state.at(name + std::string(parts_.front()))));
  }
  return norms;
}

}  // namespace cddp::cuda
