// Options of a training run, as the command line sets them.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace cddp {

struct TrainOptions {
  // What is trained.
  std::string model = "simple_cnn";
  std::string dataset = "mnist";
  std::string data_dir = "data";
  uint32_t max_train_samples = 0;  // 0: all
  int epochs = 3;
  int64_t batch_size = 64;  // per worker
  std::string optimizer = "sgd";
  double lr = 0.05;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0.0;
  std::string schedule = "constant";
  uint64_t seed = 1;

  // How gradients travel.
  bool compress = false;
  double ratio = 0.01;
  std::string selector = "topk";
  std::string memory = "auto";
  bool no_error_feedback = false;  // the same as memory = "none"
  double clip_norm = 0.0;          // of memory dgc; 0: no clipping
  int warmup_epochs = 0;           // in which the ratio falls to its value
  int adaptive_ratio = 0;          // steps between plans of the parameters' shares; 0: all alike
  std::string values = "int4";
  std::string indices = "auto";
  bool stochastic_rounding = false;  // of values int8 and int4
  std::string collective = "auto";
  double owner_budget = 1.0;  // of collective split; may be infinite
  std::string plan;           // file that an earlier run's collective auto has made
  double bucket_mb = 25.0;

  // Where and how it runs.
  int workers = 0;  // local processes to start; 0: as the environment says
  std::string rendezvous = "env";
  std::string backend = "gloo";
  std::string device = "auto";
  std::string interface;
  int threads = 0;          // per worker; 0: the cores, shared out
  double timeout_s = 60.0;  // of a silent peer
  std::string log_dir = "runs";
  int log_every = 50;            // steps from one record of metrics.jsonl to the next; 0: none
  bool tensorboard = false;      // an event file in the run folder
  std::string record_gradients;  // file; empty: none
  int record_every = 20;         // steps
  std::string json;
  std::string log_level = "info";
};

// Checks ranges and names that do not depend on the data. Replaces "auto" and
// derived values by what they stand for. Throws StatusError(kInvalidArgument)
// naming the flag.
void Resolve(TrainOptions& options);

// The resolved options under the names of their flags, with '_' for '-'.
nlohmann::json ToJson(const TrainOptions& options);

// What all workers must agree on: flag -> value.
std::map<std::string, std::string> AgreedConfiguration(const TrainOptions& options);

}  // namespace cddp
