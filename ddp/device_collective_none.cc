#include "ddp/aten_compressor.h"
#include "ddp/device_collective.h"

namespace cddp {

std::unique_ptr<Collective> MakeDeviceCollective(at::Device device,
                                                 const CompressorOptions& options,
                                                 Transport* transport) {
  return MakeAtenCollective(device, options, transport);
}

}  // namespace cddp
