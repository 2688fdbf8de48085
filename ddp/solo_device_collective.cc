#include <cmath>
#include <utility>

#include "collective/path.h"
#include "ddp/device_collective.h"
#include "ddp/side_stream.h"

namespace cddp {
namespace {

class SoloDevice final : public Collective {
 public:
  explicit SoloDevice(at::Device device) : device_(device), side_(device) {}

  std::string_view name() const override { return "dense"; }
  bool on_device() const override { return true; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }

  Status Exchange(const Bucket& bucket) override {
    const Lap lap(&times_.apply);
    if (bucket.values.empty()) return Status::Ok();
    const at::Tensor values =
        torch::from_blob(bucket.values.data(), {static_cast<int64_t>(bucket.values.size())},
                         torch::TensorOptions().dtype(torch::kFloat).device(device_));
    side_.Run(nullptr, [&] {
      // Not a number is the least and the largest.
      const auto [least, largest] = at::aminmax(values);
      const at::Tensor ends = torch::stack({least, largest}).to(at::kCPU);
      void_ |= !std::isfinite(ends[0].item<float>()) || !std::isfinite(ends[1].item<float>());
    });
    return Status::Ok();
  }

  StepOutcome EndStep() override {
    return std::exchange(void_, false) ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

  CollectiveTimes times() const override { return times_; }

 private:
  const at::Device device_;
  const SideStream side_;
  CollectiveTimes times_;
  bool void_ = false;
};

}  // namespace

std::unique_ptr<Collective> MakeSoloDeviceCollective(at::Device device) {
  return std::make_unique<SoloDevice>(device);
}

}  // namespace cddp
