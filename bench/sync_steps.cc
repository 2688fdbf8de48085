#include "bench/sync_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "bench/triad.h"
#include "core/median.h"
#include "trainer/plan_file.h"
#include "trainer/shapes.h"
#include "trainer/threads.h"
#include "trainer/training_collective.h"

namespace cddp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSourceSlack = 1 << 20;  // how far apart the steps' gradients may begin
constexpr int kMostTrialSteps = 200;      // for auto to settle
constexpr int kStepsToRefill = 30;        // memories, after dense steps that auto tried
constexpr int kFloorRepetitions = 5;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What the interface has sent: its counter tx_bytes or tx_packets. Throws StatusError where
// it can't be told.
double InterfaceCounter(const std::string& interface, const char* counter) {
  const std::string path = fmt::format("/sys/class/net/{}/statistics/{}", interface, counter);
  std::ifstream file(path);
  uint64_t value = 0;
  if (file >> value) return static_cast<double>(value);
  throw StatusError(StatusCode::kUnavailable,
                    fmt::format("cannot read {}: is {} an interface here?", path, interface));
}

// Bytes that a sweep moves per element, against the triad's 12.
double SweepTraffic(const std::string& memory) {
  if (memory == "dgc") return 20;  // reads gradient, velocity, residual; writes two
  if (memory == "residual") return 12;
  return 4;
}

double Milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

SyncSteps::SyncSteps(const SyncBenchOptions& options, World& world)
    : options_(options),
      world_(world),
      transport_(world),
      logged_(&transport_),
      collective_(MakeTrainingCollective(
          options.run, at::kCPU, ThreadsPerWorker(options.run, world.local_size()), &logged_)),
      pipeline_(collective_.get()) {
  const auto bucket_bytes = static_cast<uint64_t>(options.run.bucket_mb * (1 << 20));
  for (auto& parameters : BucketsOf(ShapesOf(options.shapes), bucket_bytes)) {
    const size_t elements = parameters.back().offset + parameters.back().count;
    buckets_.push_back({AlignedFloats(elements), std::move(parameters)});
    elements_ += elements;
  }
  source_.resize(elements_ + kSourceSlack);
  std::minstd_rand bits(static_cast<unsigned>(options.run.seed) * 1009 +
                        static_cast<unsigned>(world.rank()));
  std::normal_distribution<float> normal;
  for (float& value : source_) value = normal(bits);
}

void SyncSteps::FillGradients() {
  size_t from = step_ * 7919 * 16 % kSourceSlack;
  for (Piece& piece : buckets_) {
    std::copy_n(source_.begin() + static_cast<ptrdiff_t>(from), piece.values.size(),
                piece.values.begin());
    from += piece.values.size();
  }
}

void SyncSteps::Submit(uint32_t bucket) {
  Piece& piece = buckets_[bucket];
  pipeline_.Submit({.bucket = {.step = step_, .index = bucket, .values = piece.values},
                    .parameters = piece.parameters,
                    .done = [this](const Status&) {
                      const std::lock_guard lock(mutex_);
                      ++done_;
                      changed_.notify_all();
                    }});
}

double SyncSteps::Step() {
  FillGradients();
  done_ = 0;
  world_.Barrier();
  const auto start = Clock::now();
  double share = 0;  // of the elements, up to the bucket's end
  for (uint32_t b = 0; b < buckets_.size(); ++b) {
    share += static_cast<double>(buckets_[b].values.size()) / static_cast<double>(elements_);
    if (options_.compute_ms > 0) {
      std::this_thread::sleep_until(
          start + std::chrono::duration_cast<Clock::duration>(
                      std::chrono::duration<double, std::milli>(share * options_.compute_ms)));
    }
    Submit(b);
  }
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_ == buckets_.size(); });
  }
  ThrowIfError(pipeline_.status());
  if (collective_->EndStep() != StepOutcome::kCommitted) {
    throw StatusError(StatusCode::kInternal, fmt::format("step {} was void", step_));
  }
  const double seconds = SecondsSince(start);
  ++step_;
  return seconds;
}

double SyncSteps::MeanOverRanks(double value) {
  std::vector<double> sum{value};
  world_.Sum(sum);
  return sum[0] / world_.size();
}

double SyncSteps::FloorSeconds() {
  if (collective_->compression() == nullptr) return 0;
  WorkerPool pool(ThreadsPerWorker(options_.run, world_.local_size()));
  AlignedFloats memory(elements_);
  const double sweep = SweepTraffic(options_.run.memory) / SweepTraffic("residual");
  std::vector<double> seconds;
  for (int i = 0; i < kFloorRepetitions; ++i) {
    world_.Barrier();
    auto start = Clock::now();
    Triad(std::span(source_).first(elements_), 0.5f, memory, memory, Stores::kPlain, pool);
    const double triad = MeanOverRanks(SecondsSince(start));
    world_.Barrier();
    start = Clock::now();
    for (Piece& piece : buckets_) std::ranges::fill(piece.values, 0.0f);
    seconds.push_back(sweep * triad + MeanOverRanks(SecondsSince(start)));
  }
  return MedianOf(seconds);
}

double SyncSteps::BareSeconds() {
  std::vector<double> seconds;
  for (int i = 0; i < kFloorRepetitions; ++i) {
    world_.Barrier();
    const auto start = Clock::now();
    ThrowIfError(logged_.Replay());
    seconds.push_back(MeanOverRanks(SecondsSince(start)));
  }
  return MedianOf(seconds);
}

nlohmann::json SyncSteps::PlanReport() const {
  return collective_->plan() == nullptr ? nlohmann::json() : ToJson(*collective_->plan());
}

bool SyncSteps::has_interface() const {
  const std::string& interface = options_.run.interface;
  return !interface.empty() && interface != "lo";
}

nlohmann::json SyncSteps::Run() {
  WarmUp();
  return Report(Measure());
}

void SyncSteps::WarmUp() {
  // The trials of auto are part of the warm-up: memories fill for hundreds of steps, so only
  // times of the same steps compare.
  int warmup = options_.warmup;
  for (int i = 0; i < warmup || (i == 0 && !collective_->settled()); ++i) {
    const bool settled = collective_->settled();
    Step();
    if (!settled) warmup = std::max(warmup, std::min(i + 1, kMostTrialSteps) + kStepsToRefill);
  }
}

SyncSteps::Measured SyncSteps::Measure() {
  const auto on_interface = [&](const char* counter) {
    return has_interface() ? InterfaceCounter(options_.run.interface, counter) : 0.0;
  };
  Measured measured{.before = collective_->times()};
  world_.Barrier();
  const double nic_bytes_before = on_interface("tx_bytes");
  const double nic_packets_before = on_interface("tx_packets");
  const uint64_t sent_before = transport_.traffic().sent;
  for (int i = 0; i < options_.steps; ++i) {
    if (i + 1 == options_.steps) logged_.StartLog();
    measured.step_ms.push_back(1e3 * MeanOverRanks(Step()));
  }
  logged_.StopLog();
  world_.Barrier();
  measured.sent = static_cast<double>(transport_.traffic().sent - sent_before);
  measured.nic_bytes = on_interface("tx_bytes") - nic_bytes_before;
  measured.nic_packets = on_interface("tx_packets") - nic_packets_before;
  measured.after = collective_->times();
  return measured;
}

nlohmann::json SyncSteps::Report(const Measured& measured) {
  const double steps = options_.steps;
  const auto mean_ms = [&](std::chrono::nanoseconds CollectiveTimes::*part) {
    return MeanOverRanks(Milliseconds(measured.after.*part - measured.before.*part)) / steps;
  };
  const double floor_ms = 1e3 * FloorSeconds();
  const double bare_ms = 1e3 * BareSeconds();
  const double step_median = MedianOf(measured.step_ms);
  const double sync_median = step_median - options_.compute_ms;
  // What backward hides the floor would hide too: there is no telling how much of it.
  const nlohmann::json ratio = options_.compute_ms > 0
                                   ? nlohmann::json()
                                   : nlohmann::json(sync_median / (floor_ms + bare_ms));
  const double bytes_per_step = MeanOverRanks(measured.nic_bytes) / steps;
  const double packets_per_step = MeanOverRanks(measured.nic_packets) / steps;
  const auto counted = [&](double per_step) {
    return has_interface() ? nlohmann::json(per_step) : nlohmann::json();
  };
  const TrainOptions& run = options_.run;
  return {{"shapes", options_.shapes},
          {"parameters", elements_},
          {"buckets", buckets_.size()},
          {"collective", run.collective},
          {"world_size", world_.size()},
          {"threads", ThreadsPerWorker(run, world_.local_size())},
          {"ratio", run.compress ? run.ratio : 1.0},
          {"values", run.compress ? run.values : "fp32"},
          {"memory", run.compress ? run.memory : "none"},
          {"owner_budget", ToJson(run)["owner_budget"]},
          {"bucket_mb", run.bucket_mb},
          {"compute_ms", options_.compute_ms},
          {"steps", options_.steps},
          {"sync_ms_median", sync_median},
          {"step_ms_median", step_median},
          {"step_ms", measured.step_ms},
          {"tx_bytes_per_step", MeanOverRanks(measured.sent) / steps},
          {"nic_tx_bytes_per_step", counted(bytes_per_step)},
          {"nic_tx_packets_per_step", counted(packets_per_step)},
          {"interface", run.interface},
          {"floor_ms", floor_ms + bare_ms},
          {"floor_memory_ms", floor_ms},
          {"bare_exchange_ms", bare_ms},
          {"ratio_to_floor", ratio},
          {"select_ms", mean_ms(&CollectiveTimes::select)},
          {"encode_ms", mean_ms(&CollectiveTimes::encode)},
          {"exchange_ms", mean_ms(&CollectiveTimes::exchange)},
          {"decode_ms", mean_ms(&CollectiveTimes::decode)},
          {"apply_ms", mean_ms(&CollectiveTimes::apply)},
          {"settled", collective_->settled()},
          {"plan", PlanReport()}};
}

}  // namespace cddp
