// What a selection allocates: the bound that cddp/selection.h promises, which is
// what keeps a gradient full of ties from being copied whole.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "cddp/selection.h"
#include "tests/core/generators.h"

namespace {
thread_local bool counting = false;
thread_local size_t allocated = 0;
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
    for (size_t k : {1, 100, 30'000}) {
      const auto selector = MakeTopKSelector();
      Selection selection;
      selection.indices.reserve(k);
      selection.values.reserve(k);
      allocated = 0;
      counting = true;
      selector->Select(values, k, 0, &selection);
      counting = false;
      EXPECT_EQ(selection.size(), k);
      EXPECT_LE(allocated, 12 * 2 * k + (1 << 20))
          << "pattern " << static_cast<int>(pattern) << ", k " << k;
    }
  }
}

}  // namespace
}  // namespace cddp
