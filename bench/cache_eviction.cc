#include "bench/cache_eviction.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <numeric>

namespace cddp {
namespace {

size_t BufferBytes() {
  const long last_level = std::max(sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE));
  const size_t cache = static_cast<size_t>(std::max(0L, last_level));
  return std::clamp(cache + cache / 4, size_t{64} << 20, size_t{1} << 30);
}

}  // namespace

CacheEviction::CacheEviction() : buffer_(BufferBytes() / sizeof(uint64_t), 1) {}

void CacheEviction::Run(WorkerPool& pool) {
  static std::atomic<uint64_t> sink;  // or the compiler would read nothing
  const size_t share = buffer_.size() / static_cast<size_t>(pool.size());
  pool.Run([&](int worker) {
    const auto begin = buffer_.begin() + static_cast<ptrdiff_t>(share) * worker;
    sink += std::accumulate(begin, begin + static_cast<ptrdiff_t>(share), uint64_t{0});
  });
}

}  // namespace cddp
