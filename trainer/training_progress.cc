#include "trainer/training_progress.h"

#include <fmt/format.h>

#include "cddp/status.h"
#include "trainer/json_file.h"

namespace cddp {
namespace {

using Json = nlohmann::json;

constexpr const char* kWhere = "the checkpoint's progress";

template <typename Work>
auto OrCorrupt(const Work& work) {
  try {
    return work();
  } catch (const Json::exception& error) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", kWhere, error.what()));
  }
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
  return {{"loss", sums.tally.loss},       {"correct", sums.tally.correct},
          {"samples", sums.tally.samples}, {"sent", sums.sent},
          {"received", sums.received},     {"seconds", sums.seconds}};
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
      progress.history.push_back(EpochRecordFromJson(record, kWhere));
    }
    // Checkpoints of older programs have none.
    for (const Json& record : json.value("evaluations", Json::array())) {
      progress.evaluations.push_back(EvaluationRecordFromJson(record, kWhere));
    }
    return progress;
  });
}

EpochSums EpochSumsFromJson(const Json& json) {
  return OrCorrupt([&] {
    return EpochSums{.tally = {.loss = NumberOrNan(json, "loss", kWhere),
                               .correct = json.at("correct"),
                               .samples = json.at("samples")},
                     .sent = json.at("sent"),
                     .received = json.at("received"),
                     .seconds = json.at("seconds")};
  });
}

}  // namespace cddp
