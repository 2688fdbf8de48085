#include "trainer/step_log.h"

#include <utility>

namespace cddp {

StepLog::StepLog(MetricsLog* metrics, int every, Collective* collective,
                 std::function<TrafficBytes()> traffic)
    : metrics_(metrics), every_(every), collective_(collective), traffic_(std::move(traffic)) {
  epoch_ = {.statistics = Statistics()};
  record_ = {{.statistics = Statistics()}, Now()};
  pause_ = Now();
}

void StepLog::BeginEpoch() {
  const Mark now = Now();
  Exclude(now.time - pause_.time, now.traffic - pause_.traffic);
  epoch_ = {.statistics = Statistics()};
}

StepMeans StepLog::EndEpoch() {
  pause_ = Now();
  return Means(epoch_);
}

void StepLog::Exclude(std::chrono::nanoseconds time, const TrafficBytes& traffic) {
  // Of an epoch there are means over its steps alone.
  record_.start.time += time;
  record_.start.traffic += traffic;
}

void StepLog::BeginStep() { lap_ = Clock::now(); }

void StepLog::Lap(StepPhase phase) {
  const auto now = Clock::now();
  const auto time = now - std::exchange(lap_, now);
  for (Window* window : Windows()) window->times[static_cast<size_t>(phase)] += time;
}

void StepLog::Move(StepPhase from, StepPhase to, std::chrono::nanoseconds time) {
  for (Window* window : Windows()) {
    window->times[static_cast<size_t>(from)] -= time;
    window->times[static_cast<size_t>(to)] += time;
  }
}

void StepLog::EndStep(const StepResult& result) {
  for (Window* window : Windows()) window->steps += 1;
  record_.tally += result.tally;
  record_.global_samples += result.global_samples;
  if (metrics_ == nullptr || every_ == 0 || record_.steps < every_) return;
  metrics_->Append("step", result.step, Record(result));
  record_ = {{.statistics = Statistics()}, Now()};
}

CompressionStatistics StepLog::Statistics() const {
  const Compression* compression = collective_->compression();
  return compression == nullptr ? CompressionStatistics() : compression->statistics();
}

StepMeans StepLog::Means(const Window& window) const {
  const auto ms = [&](StepPhase phase) {
    const std::chrono::duration<double, std::milli> time = window.times[static_cast<size_t>(phase)];
    return window.steps > 0 ? time.count() / window.steps : 0.0;
  };
  StepMeans means{.data_ms = ms(StepPhase::kData),
                  .forward_ms = ms(StepPhase::kForward),
                  .backward_ms = ms(StepPhase::kBackward),
                  .exposed_ms = ms(StepPhase::kExposed),
                  .optimizer_ms = ms(StepPhase::kOptimizer)};
  const CompressionStatistics now = Statistics();
  if (const auto elements = now.elements - window.statistics.elements; elements > 0) {
    means.sent_fraction = static_cast<double>(now.entries - window.statistics.entries) /
                          static_cast<double>(elements);
  }
  if (const Compression* compression = collective_->compression()) {
    means.residual_norm = NormOf(compression->ResidualNorms());
  }
  return means;
}

nlohmann::json StepLog::Record(const StepResult& last) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - record_.start.time).count();
  const TrafficBytes traffic = traffic_() - record_.start.traffic;
  nlohmann::json record = ToJson(Means(record_));
  record["epoch"] = last.epoch;
  record["learning_rate"] = last.learning_rate;
  // Without samples null: there is none.
  const bool any = record_.tally.samples > 0;
  record["loss"] = any ? nlohmann::json(record_.tally.mean_loss()) : nlohmann::json();
  record["accuracy_percent"] =
      any ? nlohmann::json(record_.tally.accuracy_percent()) : nlohmann::json();
  record["images_per_s"] = record_.global_samples / seconds;
  record["tx_bytes_per_step"] = static_cast<double>(traffic.sent) / record_.steps;
  record["rx_bytes_per_step"] = static_cast<double>(traffic.received) / record_.steps;
  return record;
}

}  // namespace cddp
