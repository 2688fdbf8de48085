// cuda_bench.h in a build without CUDA.
#include "bench/cuda/cuda_bench.h"
#include "cddp/status.h"

namespace cddp::cuda {
namespace {

[[noreturn]] void SayWhatToBuild() {
  throw StatusError(StatusCode::kInvalidArgument,
                    "this program was built without CUDA: build it on a machine with nvcc, with "
                    "cmake -D CDDP_CUDA=ON");
}

}  // namespace

Json CompressionOnCuda(const CudaBenchOptions&, std::FILE*) { SayWhatToBuild(); }

Json DecodingOnCuda(const CudaBenchOptions&, std::FILE*) { SayWhatToBuild(); }

}  // namespace cddp::cuda
