// libFuzzer's way into FuzzIndices, for the index codec CDDP_CODEC.
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cddp::FuzzIndices(cddp::CDDP_CODEC(), {data, size});
  return 0;
}
