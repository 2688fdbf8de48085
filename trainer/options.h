// Options of a training run, as the command line sets them.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/architecture.h"
#include "trainer/device.h"

namespace cddp {

struct TrainOptions {
  // What is trained.
  std::string model = "simple_cnn";
  Architecture architecture;
  std::string dataset = "mnist";
  std::string data_dir = "data";
  std::string augment = "auto";
  std::string text_file;  // of data set text; empty: the catalog's
  std::string tokens = "bytes";
  int context = 128;               // tokens of a window of text
  uint32_t max_train_samples = 0;  // 0: all
  uint32_t max_test_samples = 0;   // 0: all
  int eval_every_steps = 0;        // besides after each epoch; 0: no more
  int epochs = 3;
  int64_t batch_size = 64;  // per worker
  uint64_t seed = 1;

  // How it is trained.
  std::string optimizer = "sgd";
  double lr = 0.05;
  double momentum = 0.9;                  // of sgd and lars
  bool nesterov = false;                  // of sgd
  double weight_decay = 0.0;              // of adamw decoupled, else added to the gradient
  std::vector<double> betas{0.9, 0.999};  // of adam and adamw
  double eps = 1e-8;                      // of adam and adamw
  double trust_coefficient = 0.001;       // of lars
  std::string schedule = "constant";
  std::vector<int> milestones;  // of multistep: epochs, ascending
  double gamma = 0.1;           // of multistep
  int lr_warmup_epochs = 0;
  bool scale_lr = false;         // lr times the number of workers and times accumulate
  double clip_grad_norm = 0.0;   // of the averaged gradient; 0: no clipping
  double label_smoothing = 0.0;  // share of the target that all classes get alike
  int accumulate = 1;            // batches of each worker per optimiser step
  std::string amp = "none";      // precision of forward: none (fp32), bf16, fp16
  bool find_unused_parameters = false;

  // How gradients travel.
  bool compress = false;
  double ratio = 0.01;
  std::string selector = "topk";
  std::string memory = "auto";
  bool no_error_feedback = false;         // the same as memory = "none"
  double clip_norm = 0.0;                 // of memory dgc; 0: no clipping
  std::string momentum_masking = "auto";  // of memory dgc: on, off
  int warmup_epochs = 0;                  // in which the ratio falls to its value
  int warmup_steps = 0;                   // the same, step by step
  int whole_limit = 1024;                 // elements: of a parameter that is sent whole, at most
  int adaptive_ratio = 0;  // steps between plans of the parameters' shares; 0: all alike
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
  int threads = 0;          // per worker; 0: see threads.h
  double timeout_s = 60.0;  // of a silent peer
  std::string log_dir = "runs";
  int log_every = 50;            // steps from one record of metrics.jsonl to the next; 0: none
  bool tensorboard = false;      // an event file in the run folder
  std::string record_gradients;  // file; empty: none
  int record_every = 20;         // steps
  std::string json;
  bool json_lines = false;  // the records of metrics.jsonl on standard output too
  bool quiet = false;       // the same as log_level = "warning"
  std::string log_level = "info";

  // Checkpoints.
  std::string checkpoint_dir;  // empty: in the run's folder
  int save_every = 1;          // epochs; 0: none
  int save_every_steps = 0;    // besides; 0: none
  int keep = 3;                // the last ones, and the best
  std::string resume;          // auto, a checkpoint, a folder of them or a run's; empty: a new run
};

std::vector<std::string> OptimizerNames();
std::vector<std::string> LogLevelNames();

// True when the memory of compression holds the momentum: the optimiser must have none,
// and weight decay must be in the gradient before the memory sees it
// (DdpOptions::weight_decay). `options` are resolved.
bool MomentumInMemory(const TrainOptions& options);

// The same run without compression: all that would be refused then is as in the beginning.
TrainOptions WithoutCompression(TrainOptions options);

// Checks ranges and names that do not depend on the data. Replaces "auto" and
// derived values by what they stand for. Throws StatusError(kInvalidArgument)
// naming the flag.
void Resolve(TrainOptions& options, const Devices& devices = {});

// The part of it that is about the data set.
void ResolveData(TrainOptions& options);

// The resolved options under the names of their flags, with '_' for '-'.
nlohmann::json ToJson(const TrainOptions& options);

// What all workers must agree on: flag -> value.
std::map<std::string, std::string> AgreedConfiguration(const TrainOptions& options);

}  // namespace cddp
