#include "core/cuda/device_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/sweep.h"

namespace cddp::cuda {

std::vector<std::pair<const char*, bool>> DeviceMemory::Parts() const {
  if (kind_ == MemoryKind::kDgc) return {{"/residual", false}, {"/velocity", true}};
  return {{"", false}};
}

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
    for (const auto& [suffix, is_velocity] : Parts()) {
      if (home.memory == nullptr) continue;
      CDDP_RETURN_IF_ERROR(StatusOf(
          cudaMemcpyAsync(to->Part(is_velocity) + parameter.offset,
                          home.memory->Part(is_velocity) + home.offset,
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
    for (const auto& [suffix, is_velocity] : Parts()) {
      std::vector<float>& values = (*state)[name + suffix];
      values.resize(home.elements);
      CDDP_RETURN_IF_ERROR(
          StatusOf(cudaMemcpyAsync(values.data(), home.memory->Part(is_velocity) + home.offset,
                                   home.elements * sizeof(float), cudaMemcpyDeviceToHost, stream_),
                   "copying a memory from the device"));
    }
  }
  return StatusOf(cudaStreamSynchronize(stream_), "copying memories from the device");
}

Status DeviceMemory::Load(const MemoryState& state) {
  Homes loaded;
  for (const auto& [suffix, is_velocity] : Parts()) {
    for (const auto& [key, values] : state) {
      if (!key.ends_with(suffix)) continue;
      Home& home = loaded[key.substr(0, key.size() - std::strlen(suffix))];
      home.elements = values.size();
      if (home.memory == nullptr) {
        CDDP_RETURN_IF_ERROR(Allocate(values.size(), &home.memory));
      }
      CDDP_RETURN_IF_ERROR(
          StatusOf(cudaMemcpyAsync(home.memory->Part(is_velocity), values.data(),
                                   values.size() * sizeof(float), cudaMemcpyHostToDevice, stream_),
                   "copying a memory to the device"));
    }
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
    norms[name] = std::sqrt(SumOfSquares(state.at(name + Parts().front().first)));
  }
  return norms;
}

}  // namespace cddp::cuda
