// What a training run reports: one record per epoch, one summary, and the run
// folder that keeps both.
//
// Units: milliseconds, bytes, percent where the name says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cddp {

// Of rank 0.
struct StepMeans {
  // Where the time of a step went.
  double data_ms = 0;
  double forward_ms = 0;
  double backward_ms = 0;
  double exposed_ms = 0;  // communication that backward did not hide
  double optimizer_ms = 0;
  double sent_fraction = 1;  // entries sent / elements, of what was compressed
  double residual_norm = 0;  // L2 norm of what the memory keeps, at the end
};

struct EpochRecord {
  int epoch = 0;  // from 1
  double train_loss = 0;
  double train_accuracy_percent = 0;
  double test_loss = 0;
  double test_accuracy_percent = 0;
  std::optional<double> test_bits_per_byte;  // of a text: the test loss in other units
  double learning_rate = 0;                  // of the last step
  double epoch_s = 0;                        // training only
  double images_per_s = 0;                   // of all workers together
  double tx_bytes_per_step = 0;  // gradient traffic sent by one worker, mean over workers
  double rx_bytes_per_step = 0;
  uint64_t void_steps = 0;
  StepMeans means;
};

// What the test split said at a moment of training: after each epoch, and in between with
// --eval-every-steps.
struct EvaluationRecord {
  uint64_t step = 0;   // steps done
  double train_s = 0;  // seconds of training until then, evaluations left out
  double test_loss = 0;
  double test_accuracy_percent = 0;
};

struct TrainingSummary {
  bool compress = false;
  double ratio = 1.0;  // 1 without compression
  std::string memory = "none";
  std::string collective = "dense";
  std::string dataset;
  std::string model;
  int epochs = 0;
  int world_size = 1;
  int64_t parameters = 0;
  double test_accuracy_percent = 0;
  double test_loss = 0;
  std::optional<double> test_bits_per_byte;  // of a text
  double tx_bytes_per_step = 0;
  double rx_bytes_per_step = 0;
  double images_per_s = 0;
  double step_ms_median = 0;
  double epoch_s_mean = 0;
  uint64_t steps = 0;
  uint64_t void_steps = 0;
  double second_sweep_fraction = 0;  // of rank 0's selections, see cddp/selection.h
  std::string parameters_xxh3;       // of the final parameters, the same on all workers
  std::vector<EpochRecord> history;
  std::vector<EvaluationRecord> evaluations;
  std::string checkpoint_failure;  // why the last one could not be saved, or empty; not in JSON
  std::string folder_failure;      // why the run folder is not whole, or empty; not in JSON
};

// Adds an epoch, and with it to the sums and means over all of them. Of an epoch that was begun
// with other steps (another number of workers, other batches), time and throughput are of the part
// since then.
void AddEpoch(const EpochRecord& record, TrainingSummary* summary);

// What of a run could not be saved, in words; empty when all was.
std::string NotSaved(const TrainingSummary& summary);

nlohmann::json ToJson(const StepMeans& means);
nlohmann::json ToJson(const EpochRecord& record);  // the means among the rest
nlohmann::json ToJson(const EvaluationRecord& record);
nlohmann::json ToJson(const TrainingSummary& summary);

// What the above wrote; what was not finite is NaN. Throw StatusError(kCorrupt), naming `where`
// and the key, for what is missing, of the wrong type or out of range.
EpochRecord EpochRecordFromJson(const nlohmann::json& json, const std::string& where);
EvaluationRecord EvaluationRecordFromJson(const nlohmann::json& json, const std::string& where);

// A new folder `<log_dir>/<date>-<name>` (with a number behind it if it exists)
// that holds config.json, history.csv, history.json and summary.json; beside them
// config.yaml (config_file.h), metrics.jsonl (metrics_log.h) and layers.json (layer_log.h).
class RunFolder {
 public:
  // Writes config.json. Throws StatusError(kUnavailable) when that can't be done.
  RunFolder(const std::filesystem::path& log_dir, const std::string& name,
            const nlohmann::json& config);
  // Of a run that was refused before it had anything to say, nothing is left.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Rewrites the files; each is whole at any moment.
  void Write(const TrainingSummary& summary) const;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cddp
