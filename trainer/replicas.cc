#include "trainer/replicas.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "trainer/failure.h"

namespace cddp {

uint64_t RequireIdenticalReplicas(const DdpEngine& engine, World& world) {
  uint64_t hash = 0;
  for (const auto* tensors : {&engine.parameters(), &engine.buffers()}) {
    for (const at::Tensor& tensor : *tensors) {
      const at::Tensor flat = tensor.detach().cpu().contiguous();
      hash = XXH3_64bits_withSeed(flat.data_ptr(), flat.nbytes(), hash);
    }
  }
  if (const int differing = world.CountDiffering(hash); differing != 0) {
    throw SharedError(StatusCode::kInternal,
                      fmt::format("the parameters or buffers of {} of {} workers differ from "
                                  "rank 0's",
                                  differing, world.size()));
  }
  return hash;
}

}  // namespace cddp
