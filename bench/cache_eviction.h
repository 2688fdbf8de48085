// Cold caches: what is timed must come from memory, as gradients do after a
// backward pass that has touched more than the caches hold.
#pragma once

#include <cstdint>
#include <vector>

#include "core/worker_pool.h"

namespace cddp {

class CacheEviction {
 public:
  // The buffer is a quarter larger than the last-level cache (64 MiB to 1 GiB).
  CacheEviction();

  // Reads the buffer, each worker its share.
  void Run(WorkerPool& pool);

 private:
  std::vector<uint64_t> buffer_;
};

}  // namespace cddp
