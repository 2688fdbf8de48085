// What a selection allocates: the bound that cddp/selection.h promises, which is
// what keeps a gradient full of ties from being copied whole.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "cddp/selection.h"
#include "tests/core/generators.h"

namespace {
std::atomic<bool> counting = false;
std::atomic<size_t> allocated = 0;
}  // namespace

void* operator new(size_t bytes) {
  if (counting) allocated += bytes;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

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
      allocated = 0;
      counting = true;
      selector->Select(values, k, 0, &selection);  // what it allocates first
      selector->Select(values, k, 0, &selection);  // and what it adds
      counting = false;
      EXPECT_EQ(selection.size(), static_cast<size_t>(2 * k));
      EXPECT_LE(allocated, size_t{24} * k + (1 << 20))
          << "pattern " << static_cast<int>(pattern) << ", k " << k << ", threads " << threads;
    }
  }
}

}  // namespace
}  // namespace cddp
