// The sparse allgather of gather.cc for gradients in a device's memory: frames are made and
// added up there, so that only they pass through the host.
#include <utility>

#include "cddp/device_compressor.h"
#include "collective/frame_exchange.h"
#include "collective/path.h"

namespace cddp {
namespace {

class DeviceGather final : public Collective {
 public:
  DeviceGather(Transport* transport, std::unique_ptr<DeviceCompressor> compressor)
      : transport_(*transport), compressor_(std::move(compressor)), exchange_(transport) {}

  std::string_view name() const override { return "gather"; }
  bool on_device() const override { return true; }
  Compression* compression() override { return compressor_.get(); }
  Status BeginStep(uint64_t) override { return Status::Ok(); }

  Status Prepare(const Bucket& bucket) override {
    const Lap lap(&prepare_times_.select);
    CDDP_RETURN_IF_ERROR(compressor_->Start(bucket, static_cast<uint32_t>(transport_.rank())));
    return compressor_->Finish(&frames_[bucket.index]);
  }

  Status Exchange(const Bucket& bucket) override {
    const auto ranks = static_cast<size_t>(transport_.world_size());
    const size_t max_entries = compressor_->EntryCount(bucket);
    {
      const Lap lap(&exchange_times_.exchange);
      capacities_.assign(
          ranks, MaxFrameBytes(compressor_->format(), static_cast<uint32_t>(bucket.values.size()),
                               max_entries, bucket.parameters.size()));
      CDDP_RETURN_IF_ERROR(exchange_.ToAll(frames_[bucket.index], capacities_));
    }
    const Lap lap(&exchange_times_.decode);
    ids_.resize(ranks);
    incoming_.resize(ranks);
    for (size_t r = 0; r < ranks; ++r) {
      ids_[r] = FrameIdOf(bucket, static_cast<uint32_t>(r));
      CDDP_RETURN_IF_ERROR(exchange_.FrameOf(r, ids_[r], &incoming_[r]));
    }
    bool finite = true;
    CDDP_RETURN_IF_ERROR(compressor_->Mean(incoming_, ids_, max_entries, bucket, &finite));
    void_ |= !finite;
    return Status::Ok();
  }

  StepOutcome EndStep() override {
    const bool is_void = std::exchange(void_, false);
    compressor_->EndStep(/*commit=*/!is_void);
    return is_void ? StepOutcome::kVoid : StepOutcome::kCommitted;
  }

  CollectiveTimes times() const override {
    CollectiveTimes times = prepare_times_;
    times += exchange_times_;
    return times;
  }

 private:
  Transport& transport_;
  std::unique_ptr<DeviceCompressor> compressor_;
  Flights<std::vector<std::byte>> frames_;  // of this rank
  CollectiveTimes prepare_times_;           // one for each stage, since both may run at once
  CollectiveTimes exchange_times_;
  bool void_ = false;

  // Of Exchange.
  FrameExchange exchange_;
  std::vector<size_t> capacities_;
  std::vector<FrameId> ids_;
  std::vector<std::span<const std::byte>> incoming_;
};

}  // namespace

std::unique_ptr<Collective> MakeDeviceGatherCollective(
    Transport* transport, std::unique_ptr<DeviceCompressor> compressor) {
  return std::make_unique<DeviceGather>(transport, std::move(compressor));
}

}  // namespace cddp
