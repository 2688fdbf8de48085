// What a selection holds at most: the bound that cddp/selection.h promises, which is
// what keeps a gradient full of ties from being copied whole.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <new>

#include "cddp/selection.h"
#include "tests/core/generators.h"

namespace {
std::atomic<bool> counting = false;
std::atomic<int64_t> held = 0;
std::atomic<int64_t> most = 0;

void Count(int64_t bytes) {
  if (!counting) return;
  const int64_t now = held += bytes;
  for (int64_t before = most; before < now && !most.compare_exchange_weak(before, now);) {
  }
}

// Not inline: or the compiler would see free() of what came from new.
[[gnu::noinline]] void Release(void* memory) {
  Count(-static_cast<int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}
}  // namespace

void* operator new(size_t bytes) {
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  Count(static_cast<int64_t>(malloc_usable_size(memory)));
  return memory;
}
void operator delete(void* memory) noexcept { Release(memory); }
void operator delete(void* memory, size_t) noexcept { Release(memory); }

namespace cddp {
namespace {

TEST(SelectionProperty, ScratchMemoryIsBounded) {
  for (Pattern pattern : {Pattern::kUniform, Pattern::kCluster, Pattern::kAllEqual,
                          Pattern::kFewDistinct, Pattern::kSignedZeros, Pattern::kDenormals}) {
    const std::vector<float> values = ValuesOf({pattern, 1, 300'000});
    for (const auto& [k, threads] : {std::pair{1, 1}, {100, 1}, {30'000, 1}, {30'000, 2}}) {
      const auto selector = MakeTopKSelector(threads);
      Selection selection;
      selection.indices.reserve(2 * k);
      selection.values.reserve(2 * k);
      held = 0;
      most = 0;
      counting = true;
      selector->Select(values, k, 0, &selection);  // what it allocates first
      selector->Select(values, k, 0, &selection);  // and what it adds
      counting = false;
      EXPECT_EQ(selection.size(), static_cast<size_t>(2 * k));
      EXPECT_LE(most, 24 * k + (1 << 20) + 300'000 / 1024)
          << "pattern " << static_cast<int>(pattern) << ", k " << k << ", threads " << threads;
    }
  }
}

}  // namespace
}  // namespace cddp
