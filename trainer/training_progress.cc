#include "trainer/training_progress.h"

#include <fmt/format.h>

#include <cmath>

#include "cddp/status.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

template <typename Work>
auto OrCorrupt(const Work& work) {
  try {
    return work();
  } catch (const Json::exception& error) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("the checkpoint's progress: {}", error.what()));
  }
}

// What is not a number is null in JSON.
double NumberOf(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

EpochRecord RecordFromJson(const Json& json) {
  const auto number = [&](const char* key) { return NumberOf(json.at(key)); };
  const auto optional = [&](const char* key) {
    return json.contains(key) ? std::optional(number(key)) : std::nullopt;
  };
  return {.epoch = json.at("epoch"),
          .train_loss = number("train_loss"),
          .train_accuracy_percent = number("train_accuracy_percent"),
          .test_loss = number("test_loss"),
          .test_accuracy_percent = number("test_accuracy_percent"),
          .test_bits_per_byte = optional("test_bits_per_byte"),
          .learning_rate = number("learning_rate"),
          .epoch_s = number("epoch_s"),
          .images_per_s = number("images_per_s"),
          .tx_bytes_per_step = number("tx_bytes_per_step"),
          .rx_bytes_per_step = number("rx_bytes_per_step"),
          .void_steps = json.at("void_steps"),
          .means = {.data_ms = number("data_ms"),
                    .forward_ms = number("forward_ms"),
                    .backward_ms = number("backward_ms"),
                    .exposed_ms = number("exposed_ms"),
                    .optimizer_ms = number("optimizer_ms"),
                    .sent_fraction = number("sent_fraction"),
                    .residual_norm = number("residual_norm")}};
}

}  // namespace

double MeritOf(const EpochRecord& record) {
  return record.test_bits_per_byte ? -*record.test_bits_per_byte : record.test_accuracy_percent;
}

Json ToJson(const TrainingProgress& progress) {
  Json history = Json::array();
  for (const EpochRecord& record : progress.history) history.push_back(ToJson(record));
  Json evaluations = Json::array();
  for (const EvaluationRecord& record : progress.evaluations) evaluations.push_back(ToJson(record));
  return {{"epoch", progress.epoch},
          {"best", progress.best ? Json(*progress.best) : Json()},
          {"samples", progress.samples},
          {"void_steps", progress.void_steps},
          {"loss_scale", progress.step.scaler.scale},
          {"steps_at_scale", progress.step.scaler.committed},
          {"void_in_a_row", progress.step.void_in_a_row},
          {"history", history},
          {"evaluations", evaluations}};
}

Json ToJson(const EpochSums& sums) {
  return {{"loss", sums.loss}, {"correct", sums.correct},   {"samples", sums.samples},
          {"sent", sums.sent}, {"received", sums.received}, {"seconds", sums.seconds}};
}

TrainingProgress ProgressFromJson(const Json& json) {
  return OrCorrupt([&] {
    TrainingProgress progress{
        .epoch = json.at("epoch"),
        .samples = json.at("samples"),
        .void_steps = json.at("void_steps"),
        .step = {.scaler = {.scale = json.at("loss_scale"), .committed = json.at("steps_at_scale")},
                 .void_in_a_row = json.at("void_in_a_row")}};
    if (const Json& best = json.at("best"); !best.is_null()) progress.best = best.get<double>();
    for (const Json& record : json.at("history")) {
      progress.history.push_back(RecordFromJson(record));
    }
    // Checkpoints of older programs have none.
    for (const Json& record : json.value("evaluations", Json::array())) {
      progress.evaluations.push_back({.step = record.at("step"),
                                      .train_s = record.at("train_s"),
                                      .test_loss = NumberOf(record.at("test_loss")),
                                      .test_accuracy_percent = record.at("test_accuracy_percent")});
    }
    return progress;
  });
}

EpochSums EpochSumsFromJson(const Json& json) {
  return OrCorrupt([&] {
    return EpochSums{.loss = NumberOf(json.at("loss")),
                     .correct = json.at("correct"),
                     .samples = json.at("samples"),
                     .sent = json.at("sent"),
                     .received = json.at("received"),
                     .seconds = json.at("seconds")};
  });
}

}  // namespace cddp
