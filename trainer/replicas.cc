#include "trainer/replicas.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <vector>

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
  std::vector<double> differing{world.AgreeOnNumber(hash) == hash ? 0.0 : 1.0};
  world.Sum(differing);
  if (differing[0] != 0) {
    throw SharedError(StatusCode::kInternal,
                      fmt::format("the parameters or buffers of {:.0f} of {} workers differ from "
                                  "rank 0's",
                                  differing[0], world.size()));
  }
  return hash;
}

}  // namespace cddp
