// libFuzzer's way into FuzzFrame.
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cddp::FuzzFrame({data, size});
  return 0;
}
