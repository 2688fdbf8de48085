#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/triad.cc"
#include "bench/triad.h"

#include <algorithm>
#include <atomic>

// Order matters: foreach_target must come before highway.h.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void TriadBody(const float* g, float a, const float* e, float* to, size_t n, Stores stores) {
  const hn::ScalableTag<float> f;
  const auto factor = hn::Set(f, a);
  size_t i = 0;
  if (stores == Stores::kStreaming) {
    for (; i + hn::Lanes(f) <= n; i += hn::Lanes(f)) {
      hn::Stream(hn::MulAdd(factor, hn::Load(f, e + i), hn::Load(f, g + i)), f, to + i);
    }
    hwy::FlushStream();
  } else {
    for (; i + hn::Lanes(f) <= n; i += hn::Lanes(f)) {
      hn::Store(hn::MulAdd(factor, hn::Load(f, e + i), hn::Load(f, g + i)), f, to + i);
    }
  }
  for (; i < n; ++i) to[i] = g[i] + a * e[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(TriadBody);

void Triad(std::span<const float> g, float a, std::span<const float> e, std::span<float> to,
           Stores stores, WorkerPool& pool) {
  // Chunks are handed out, as in the selection: a worker that is held up by other
  // processes then holds up the whole only by one chunk.
  constexpr size_t kChunk = size_t{1} << 16;
  std::atomic<size_t> next = 0;
  pool.Run([&](int) {
    const size_t chunk = pool.size() == 1 ? g.size() : kChunk;
    for (size_t begin = 0; (begin = next.fetch_add(chunk)) < g.size();) {
      const size_t count = std::min(chunk, g.size() - begin);
      HWY_DYNAMIC_DISPATCH(TriadBody)
      (g.data() + begin, a, e.data() + begin, to.data() + begin, count, stores);
    }
  });
}

}  // namespace cddp
#endif
