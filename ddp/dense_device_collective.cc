#include <cmath>
#include <utility>

#include "collective/lap.h"
#include "ddp/device_collective.h"
#include "ddp/side_stream.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

class DenseDevice final : public Collective {
 public:
  DenseDevice(at::Device device, DeviceTransport* transport)
      : device_(device), transport_(transport), side_(device) {}

  std::string_view name() const override { return "dense"; }
  bool on_device() const override { return true; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }

  Status Exchange(const Bucket& bucket) override {
    if (bucket.values.empty()) return Status::Ok();
    const at::Tensor values =
        torch::from_blob(bucket.values.data(), {static_cast<int64_t>(bucket.values.size())},
                         torch::TensorOptions().dtype(torch::kFloat).device(device_));
    if (transport_ != nullptr) {
      const Lap lap(&times_.exchange);
      CDDP_RETURN_IF_ERROR(transport_->AllReduceSum(values));
    }
    const Lap lap(&times_.apply);
    const auto divide = [&] {
      if (transport_ != nullptr) values.div_(transport_->world_size());
      // Not a number is the least and the largest; it spreads through the sum.
      const auto [least, largest] = at::aminmax(values);
      const at::Tensor ends = torch::stack({least, largest}).to(at::kCPU);
      if (std::isfinite(ends[0].item<float>()) && std::isfinite(ends[1].item<float>())) return;
      void_ = true;
      values.fill_(std::nanf(""));
    };
    NamingOutOfMemory([&] { side_.Run(nullptr, divide); });
    return Status::Ok();
  }

  StepOutcome EndStep() override {
    return std::exchange(void_, false) ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

  CollectiveTimes times() const override { return times_; }

 private:
  const at::Device device_;
  DeviceTransport* const transport_;
  const SideStream side_;
  CollectiveTimes times_;
  bool void_ = false;
};

}  // namespace

std::unique_ptr<Collective> MakeDenseDeviceCollective(at::Device device,
                                                      DeviceTransport* transport) {
  return std::make_unique<DenseDevice>(device, transport);
}

}  // namespace cddp
