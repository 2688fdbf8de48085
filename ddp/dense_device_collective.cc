#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "collective/lap.h"
#include "ddp/device_collective.h"
#include "ddp/side_stream.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

at::Tensor ValuesOf(const Bucket& bucket, at::Device device) {
  return torch::from_blob(bucket.values.data(), {static_cast<int64_t>(bucket.values.size())},
                          torch::TensorOptions().dtype(torch::kFloat).device(device));
}

// Adds the least and the largest, which is what a value that is not a number is.
void AddEnds(const at::Tensor& values, std::vector<at::Tensor>* ends) {
  const auto [least, largest] = at::aminmax(values);
  ends->insert(ends->end(), {least, largest});
}

// Waits for the device.
bool AllFinite(const std::vector<at::Tensor>& numbers) {
  if (numbers.empty()) return true;
  const at::Tensor on_host = torch::stack(numbers).to(at::kCPU);
  const float* const number = on_host.data_ptr<float>();
  return std::all_of(number, number + on_host.numel(), [](float x) { return std::isfinite(x); });
}

// Of one worker, whose gradients are their own mean: they are only looked at.
class LocalDevice final : public Collective {
 public:
  explicit LocalDevice(at::Device device) : device_(device) {}

  std::string_view name() const override { return "dense"; }
  bool on_device() const override { return true; }
  bool enqueues() const override { return true; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }
  Status Exchange(const Bucket& bucket) override {
    if (!bucket.values.empty()) AddEnds(ValuesOf(bucket, device_), &ends_);
    return Status::Ok();
  }
  StepOutcome EndStep() override {
    return AllFinite(std::exchange(ends_, {})) ? StepOutcome::kCommitted : StepOutcome::kVoid;
  }

 private:
  const at::Device device_;
  std::vector<at::Tensor> ends_;  // of the step's gradients
};

class DenseDevice final : public Collective {
 public:
  DenseDevice(at::Device device, DeviceTransport* transport)
      : device_(device), transport_(*transport), side_(device) {}

  std::string_view name() const override { return "dense"; }
  bool on_device() const override { return true; }
  Status BeginStep(uint64_t) override { return Status::Ok(); }
  Status Prepare(const Bucket&) override { return Status::Ok(); }

  Status Exchange(const Bucket& bucket) override {
    if (bucket.values.empty()) return Status::Ok();
    const at::Tensor values = ValuesOf(bucket, device_);
    {
      const Lap lap(&times_.exchange);
      CDDP_RETURN_IF_ERROR(transport_.AllReduceSum(values));
    }
    const Lap lap(&times_.apply);
    const auto divide = [&] {
      values.div_(transport_.world_size());
      std::vector<at::Tensor> ends;
      AddEnds(values, &ends);
      if (AllFinite(ends)) return;
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
  DeviceTransport& transport_;
  const SideStream side_;
  CollectiveTimes times_;
  bool void_ = false;
};

}  // namespace

std::unique_ptr<Collective> MakeDenseDeviceCollective(at::Device device,
                                                      DeviceTransport* transport) {
  if (transport == nullptr) return std::make_unique<LocalDevice>(device);
  return std::make_unique<DenseDevice>(device, transport);
}

}  // namespace cddp
