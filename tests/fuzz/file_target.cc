// libFuzzer's way into one of fuzz_files.h, CDDP_FUZZ.
#include "tests/fuzz/fuzz_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cddp::CDDP_FUZZ({data, size});
  return 0;
}
