#include "cddp/cuda_compressor.h"
#include "cddp/device_compressor.h"
#include "ddp/aten_compressor.h"
#include "ddp/device_collective.h"

namespace cddp {

std::unique_ptr<Collective> MakeDeviceCollective(at::Device device,
                                                 const CompressorOptions& options,
                                                 Transport* transport) {
  if (!device.is_cuda()) return MakeAtenCollective(device, options, transport);
  std::unique_ptr<CudaCompressor> compressor;
  ThrowIfError(CudaCompressor::CreateOn(device.index(), options, &compressor));
  return MakeDeviceGatherCollective(transport, std::move(compressor));
}

}  // namespace cddp
