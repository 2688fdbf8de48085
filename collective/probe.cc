#include "collective/probe.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "cddp/frame.h"
#include "collective/agreement.h"
#include "collective/sparse_sum.h"
#include "core/median.h"
#include "core/sweep.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSizes[] = {4u << 10, 64u << 10, 512u << 10, 4u << 20, 25u << 20};
// A larger size is measured only after one that took less.
constexpr double kLongSeconds = 0.06;
constexpr size_t kSelectElements = size_t{2} << 20;

double SecondsOf(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Prober {
 public:
  Prober(Transport* transport, MachineCosts* costs)
      : transport_(*transport),
        costs_(*costs),
        ranks_(static_cast<size_t>(transport->world_size())) {}

  Status Network() {
    CDDP_RETURN_IF_ERROR(Curves(&costs_.exchange, [this](size_t bytes) {
      return ExchangeAll(bytes / std::max<size_t>(1, ranks_ - 1));
    }));
    std::vector<float> values;
    return Curves(&costs_.dense, [&](size_t bytes) {
      values.assign(bytes / sizeof(float), 1.0f);
      return transport_.AllReduceSum(values);
    });
  }

  Status Compression(const CompressorOptions& options) {
    std::unique_ptr<Compressor> compressor;
    CDDP_RETURN_IF_ERROR(Compressor::Create(options, &compressor));
    std::vector<float> gradient(kSelectElements);
    uint32_t state = 1;
    for (float& value : gradient) {
      state = state * 1664525u + 1013904223u;
      const float uniform = static_cast<float>(state >> 8) / 0x1p23f - 1.0f;
      value = uniform * uniform * uniform;
    }
    const std::vector<BucketParameter> layout{{"probe", 0, static_cast<uint32_t>(kSelectElements)}};
    std::vector<float> values(kSelectElements);
    std::vector<std::byte> frame;
    Selection entries;
    std::vector<double> select, encode, decode, sum, sweep;
    SparseSum adder;
    for (uint64_t step = 0; step < 5; ++step) {
      std::ranges::copy(gradient, values.begin());
      const Bucket bucket{.step = step, .values = values, .parameters = layout};
      Status status;
      CDDP_RETURN_IF_ERROR(ExchangeAll(1));
      select.push_back(SecondsOf([&] { status = compressor->Take(bucket); }));
      CDDP_RETURN_IF_ERROR(status);
      encode.push_back(SecondsOf([&] { status = compressor->EncodeTaken(bucket, 0, &frame); }));
      CDDP_RETURN_IF_ERROR(status);
      FrameView view;
      const FrameId id{.step = step, .elements = static_cast<uint32_t>(kSelectElements)};
      decode.push_back(
          SecondsOf([&] { status = DecodeFrame(frame, id, kSelectElements, &view, &entries); }));
      CDDP_RETURN_IF_ERROR(status);
      sum.push_back(SecondsOf([&] { adder.Into({&entries, 1}, 3.0f, values); }));
      compressor->EndStep(/*commit=*/true);
    }
    const auto count = static_cast<double>(std::max<size_t>(1, entries.size()));
    costs_.bytes_per_entry = static_cast<double>(frame.size()) / count;
    costs_.encode_per_entry = MedianOf(encode) / count;
    costs_.decode_per_entry = MedianOf(decode) / count;
    costs_.select_per_element = MedianOf(select) / static_cast<double>(kSelectElements);
    costs_.sum_per_element = MedianOf(sum) / static_cast<double>(kSelectElements);
    // dgc sweeps in dense steps too; the others have drained by then.
    if (options.memory.name == "dgc") {
      for (uint64_t step = 5; step < 8; ++step) {
        const Bucket bucket{.step = step, .values = values, .parameters = layout};
        Status status;
        CDDP_RETURN_IF_ERROR(ExchangeAll(1));
        sweep.push_back(SecondsOf([&] { status = compressor->AccumulateAll(bucket); }));
        CDDP_RETURN_IF_ERROR(status);
        compressor->EndStep(/*commit=*/true);
      }
      costs_.sweep_per_element = MedianOf(sweep) / static_cast<double>(kSelectElements);
    }
    return Status::Ok();
  }

 private:
  Status Curves(Curve* curve, const std::function<Status(size_t)>& call) {
    double last = 0;
    for (size_t size : kSizes) {
      bool go_on = last < kLongSeconds;
      CDDP_RETURN_IF_ERROR(AgreeWithRank0(&transport_, &go_on));
      if (!go_on) break;
      CDDP_RETURN_IF_ERROR(call(size));  // warms up
      std::vector<double> seconds;
      for (int i = 0; i < 3; ++i) {
        CDDP_RETURN_IF_ERROR(ExchangeAll(1));  // all start together
        Status status;
        seconds.push_back(SecondsOf([&] { status = call(size); }));
        CDDP_RETURN_IF_ERROR(status);
      }
      last = MedianOf(seconds);
      curve->Add(static_cast<double>(size), last);
    }
    return Status::Ok();
  }

  // The same number of bytes to each other rank.
  Status ExchangeAll(size_t bytes) {
    sent_.resize(bytes);
    received_.resize(bytes * ranks_);
    const std::vector<std::span<const std::byte>> outgoing(ranks_, sent_);
    std::vector<std::span<std::byte>> incoming(ranks_);
    for (size_t r = 0; r < ranks_; ++r) {
      incoming[r] = std::span(received_).subspan(r * bytes, bytes);
    }
    return transport_.Exchange(outgoing, incoming);
  }

  Transport& transport_;
  MachineCosts& costs_;
  const size_t ranks_;
  std::vector<std::byte> sent_;
  std::vector<std::byte> received_;
};

}  // namespace

Status Probe(Transport* transport, const CompressorOptions& options, MachineCosts* costs) {
  *costs = {.world_size = transport->world_size()};
  Prober prober(transport, costs);
  CDDP_RETURN_IF_ERROR(prober.Network());
  return prober.Compression(options);
}

}  // namespace cddp
