// Longer than other files: what every option may be, and how it is written down, in one place.
#include "trainer/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cddp/frame.h"
#include "cddp/memory.h"
#include "cddp/plan.h"
#include "cddp/selection.h"
#include "cddp/status.h"
#include "trainer/data/catalog.h"
#include "trainer/data/text.h"
#include "trainer/failure.h"
#include "trainer/nearest_name.h"
#include "trainer/schedule.h"

namespace cddp {
namespace {

// At a ratio of 1% masking has cost 0.2 points of accuracy, at 0.1% it has gained as much
// (results/split_study).
constexpr double kMaskBelowRatio = 0.005;

// What must be left alone unless `chosen` is one of those that it is of.
void RequireDefault(bool is_default, const char* flag, const char* of, const std::string& chosen) {
  if (!is_default) Refuse(fmt::format("{} is of {}, not of {}", flag, of, chosen));
}

void CheckOptimizer(const TrainOptions& o) {
  const TrainOptions none;
  RequireName("optimizer", o.optimizer, OptimizerNames());
  RequireRange("--lr", o.lr, 0.0, 1e6);
  RequireRange("--momentum", o.momentum, 0.0, 1.0);
  RequireRange("--weight-decay", o.weight_decay, 0.0, 1e6);
  RequireRange("--eps", o.eps, 0.0, 1.0);
  RequireRange("--trust-coefficient", o.trust_coefficient, 0.0, 1e6);
  if (o.betas.size() != 2) Refuse(fmt::format("--betas are two, got {}", o.betas.size()));
  for (const double beta : o.betas) {
    if (!(beta >= 0 && beta < 1)) Refuse(fmt::format("--betas must be in [0, 1), got {}", beta));
  }
  const bool adam = o.optimizer == "adam" || o.optimizer == "adamw";
  if (adam) {
    RequireDefault(o.momentum == none.momentum, "--momentum", "sgd and lars", o.optimizer);
  } else {
    RequireDefault(o.betas == none.betas, "--betas", "adam and adamw", o.optimizer);
    RequireDefault(o.eps == none.eps, "--eps", "adam and adamw", o.optimizer);
  }
  if (o.optimizer != "sgd") RequireDefault(!o.nesterov, "--nesterov", "sgd", o.optimizer);
  if (o.optimizer != "lars") {
    RequireDefault(o.trust_coefficient == none.trust_coefficient, "--trust-coefficient", "lars",
                   o.optimizer);
  }
  if (o.nesterov && o.momentum == 0) Refuse("--nesterov needs --momentum above 0");
}

void CheckSchedule(const TrainOptions& o) {
  RequireName("schedule", o.schedule, ScheduleNames());
  RequireRange("--gamma", o.gamma, 0.0, 1.0);
  RequireRange("--lr-warmup-epochs", o.lr_warmup_epochs, 0, o.epochs);
  if (o.schedule == "multistep") {
    if (o.milestones.empty()) {
      Refuse("--schedule multistep needs --milestones, such as 5,8");
    }
    if (o.milestones[0] < 1) {
      Refuse(fmt::format("--milestones are epochs from 1 on, got {}", o.milestones[0]));
    }
    const auto out = std::ranges::adjacent_find(o.milestones, std::ranges::greater_equal());
    if (out != o.milestones.end()) {
      Refuse(fmt::format("--milestones must ascend, got {} before {}", *out, *(out + 1)));
    }
  } else {
    RequireDefault(o.milestones.empty(), "--milestones", "--schedule multistep", o.schedule);
    RequireDefault(o.gamma == TrainOptions().gamma, "--gamma", "--schedule multistep", o.schedule);
  }
  if (o.schedule == "onecycle" && o.lr_warmup_epochs > 0) {
    Refuse("--schedule onecycle has a warm-up of its own: leave out --lr-warmup-epochs");
  }
}

void CheckStep(const TrainOptions& o) {
  RequireRange("--clip-grad-norm", o.clip_grad_norm, 0.0, 1e30);
  RequireRange("--label-smoothing", o.label_smoothing, 0.0, 1.0);
  RequireRange("--accumulate", o.accumulate, 1, 1'000'000);
  RequireName("amp", o.amp, {"none", "bf16", "fp16"});
  if (o.amp == "fp16" && o.device == "cpu") {
    Refuse("--amp fp16 needs a GPU: the CPU has no fp16 arithmetic; use --amp bf16");
  }
}

void CheckRun(const TrainOptions& o) {
  RequireName("backend", o.backend, {"gloo", "nccl"});
  RequireName("log level", o.log_level, LogLevelNames());
  RequireRange("--epochs", o.epochs, 1, 1'000'000);
  RequireRange("--batch-size", o.batch_size, 1, 1'000'000'000);
  RequireRange("--timeout", o.timeout_s, 1.0, 86'400.0);
  RequireRange("--threads", o.threads, 0, 4096);
  RequireRange("--log-every", o.log_every, 0, 1'000'000'000);
  RequireRange("--record-every", o.record_every, 1, 1'000'000'000);
  RequireRange("--save-every", o.save_every, 0, 1'000'000);
  RequireRange("--save-every-steps", o.save_every_steps, 0, 1'000'000'000);
  RequireRange("--eval-every-steps", o.eval_every_steps, 0, 1'000'000'000);
  RequireRange("--keep", o.keep, 1, 1'000'000);
  if (o.resume == "auto" && o.checkpoint_dir.empty()) {
    Refuse(
        "--resume auto goes on from the newest checkpoint of --checkpoint-dir: name that folder");
  }
  if (o.rendezvous != "env" && !o.rendezvous.starts_with("file:")) {
    Refuse(fmt::format("--rendezvous is env or file:PATH, got \"{}\"", o.rendezvous));
  }
  if (o.json_lines && o.json == "-") {
    Refuse("--json-lines and --json - both take standard output: give --json a file");
  }
}

std::string FlagOf(std::string key) {
  std::ranges::replace(key, '_', '-');
  return "--" + key;
}

// What is of use with --compress only.
nlohmann::json CompressionJson(const TrainOptions& o) {
  return {{"ratio", o.ratio},
          {"selector", o.selector},
          {"memory", o.memory},
          {"clip_norm", o.clip_norm},
          {"momentum_masking", o.momentum_masking},
          {"warmup_epochs", o.warmup_epochs},
          {"warmup_steps", o.warmup_steps},
          {"adaptive_ratio", o.adaptive_ratio},
          {"whole_limit", o.whole_limit},
          {"values", o.values},
          {"indices", o.indices},
          {"stochastic_rounding", o.stochastic_rounding},
          // JSON has no infinity.
          {"owner_budget",
           std::isinf(o.owner_budget) ? nlohmann::json("inf") : nlohmann::json(o.owner_budget)}};
}

// They would do nothing.
void RefuseWithoutCompress(const TrainOptions& o) {
  const auto refuse = [](const std::string& flag) {
    Refuse(fmt::format("{} is of compressed gradients: add --compress", flag));
  };
  if (o.no_error_feedback) refuse("--no-error-feedback");
  const nlohmann::json none = CompressionJson({});
  const nlohmann::json given = CompressionJson(o);
  for (const auto& [key, value] : given.items()) {
    if (value != none[key]) refuse(FlagOf(key));
  }
}

void CheckCompression(const TrainOptions& o) {
  RequireName("selector", o.selector, SelectorNames());
  std::vector<std::string> memories = MemoryNames();
  memories.insert(memories.begin(), "auto");
  RequireName("memory", o.memory, memories);
  RequireName("values", o.values, ValueFormatNames());
  RequireName("indices", o.indices, IndexFormatNames());
  RequireName("momentum masking", o.momentum_masking, {"auto", "on", "off"});
  std::vector<std::string> collectives = WayNames();
  collectives.insert(collectives.begin(), "auto");
  RequireName("collective", o.collective, collectives);
  RequireRange("--clip-norm", o.clip_norm, 0.0, 1e30);
  RequireRange("--warmup-epochs", o.warmup_epochs, 0, o.epochs);
  RequireRange("--warmup-steps", o.warmup_steps, 0, 1'000'000'000);
  if (o.warmup_epochs > 0 && o.warmup_steps > 0) {
    Refuse("--warmup-epochs and --warmup-steps both say how the ratio falls: leave out one");
  }
  RequireRange("--adaptive-ratio", o.adaptive_ratio, 0, 1'000'000);
  RequireRange("--whole-limit", o.whole_limit, 0, 1'000'000);
  RequireRange("--bucket-mb", o.bucket_mb, 0.001, 4096.0);
  RequireRatio(o.ratio);
  if (!(o.owner_budget > 0)) {
    Refuse(fmt::format("--owner-budget must be above 0 (inf: all that owners get), got {}",
                       o.owner_budget));
  }
  if (o.no_error_feedback && o.memory != "auto" && o.memory != "none") {
    Refuse(fmt::format("--no-error-feedback is --memory none, and --memory is {}: leave out one",
                       o.memory));
  }
  if (!o.compress) RefuseWithoutCompress(o);
  if (o.stochastic_rounding && o.values != "int8" && o.values != "int4") {
    Refuse(fmt::format("--stochastic-rounding is for --values int8 and int4, the values are {}",
                       o.values));
  }
}

void ResolveMemory(TrainOptions& options) {
  if (!options.compress) return;
  if (options.no_error_feedback) options.memory = "none";
  if (options.memory == "auto") {
    const bool momentum = options.momentum > 0 && options.momentum < 1;
    options.memory = options.optimizer == "sgd" && momentum ? "dgc" : "residual";
  }
  if (options.memory == "dgc" && options.optimizer != "sgd") {
    Refuse(fmt::format("--memory dgc holds the momentum of sgd: with --optimizer {} use residual",
                       options.optimizer));
  }
  if (options.memory == "dgc" && options.momentum >= 1) {
    Refuse(fmt::format("--memory dgc needs --momentum below 1, got {}", options.momentum));
  }
  if (options.clip_norm > 0 && options.memory != "dgc") {
    Refuse(fmt::format("--clip-norm clips before accumulation in --memory dgc; the memory is {}",
                       options.memory));
  }
  if (options.momentum_masking == "auto") {
    options.momentum_masking =
        options.memory == "dgc" && options.ratio < kMaskBelowRatio ? "on" : "off";
  }
  if (options.momentum_masking == "on" && options.memory != "dgc") {
    Refuse(fmt::format("--momentum-masking acts on the momentum of --memory dgc; the memory is {}",
                       options.memory));
  }
}

void ResolveCollective(TrainOptions& options) {
  if (options.collective == "auto" && !options.compress) options.collective = "dense";
  if (!options.plan.empty() && options.collective != "auto") {
    Refuse(fmt::format(
        "--plan is what --collective auto has decided before: leave out --plan, or "
        "{}",
        options.compress ? "--collective " + options.collective : std::string("add --compress")));
  }
  if (options.compress != (options.collective != "dense")) {
    Refuse(options.compress
               ? "--collective dense sends everything: leave out --compress"
               : fmt::format("--collective {} sends compressed gradients: add --compress",
                             options.collective));
  }
}

// What a run writes down of its options is JSON.
void CheckEncoding(const TrainOptions& options) {
  const nlohmann::json json = ToJson(options);
  for (const auto& [key, value] : json.items()) {
    try {
      (void)value.dump();
    } catch (const nlohmann::json::type_error&) {
      Refuse(FlagOf(key) + " is not encoded in UTF-8: rename what it names");
    }
  }
}

}  // namespace

std::vector<std::string> OptimizerNames() { return {"sgd", "adam", "adamw", "lars"}; }

std::vector<std::string> LogLevelNames() {
  return {"trace", "debug", "info", "warning", "error", "off"};
}

bool MomentumInMemory(const TrainOptions& options) {
  return options.compress && options.memory == "dgc";
}

TrainOptions WithoutCompression(TrainOptions options) {
  const TrainOptions none;
  options.compress = false;
  options.collective = "dense";
  options.ratio = none.ratio;
  options.selector = none.selector;
  options.memory = none.memory;
  options.no_error_feedback = none.no_error_feedback;
  options.clip_norm = none.clip_norm;
  options.momentum_masking = none.momentum_masking;
  options.warmup_epochs = none.warmup_epochs;
  options.warmup_steps = none.warmup_steps;
  options.whole_limit = none.whole_limit;
  options.adaptive_ratio = none.adaptive_ratio;
  options.values = none.values;
  options.indices = none.indices;
  options.stochastic_rounding = none.stochastic_rounding;
  options.owner_budget = none.owner_budget;
  options.plan = none.plan;
  return options;
}

void ResolveData(TrainOptions& options) {
  const DatasetInfo& info = RequireDataset(options.dataset);
  RequireName("augmentation", options.augment, {"auto", "none", "crop-flip"});
  RequireName("kind of tokens", options.tokens, TokenKinds());
  RequireRange("--context", options.context, 1, 1'000'000);
  const TrainOptions defaults;
  if (info.kind == DatasetKind::kText) {
    if (options.augment == "crop-flip") Refuse("--augment crop-flip is for images, not for text");
  } else {
    const std::string is = fmt::format("the data set is {}: add --dataset text", options.dataset);
    if (!options.text_file.empty()) Refuse("--text-file is what to train on as text; " + is);
    if (options.tokens != defaults.tokens) Refuse("--tokens are those of a text; " + is);
    if (options.context != defaults.context) Refuse("--context is that of a text; " + is);
  }
  if (options.augment == "auto") {
    options.augment = info.kind == DatasetKind::kCifar10 ? "crop-flip" : "none";
  }
}

void Resolve(TrainOptions& options, const Devices& devices) {
  ResolveArchitecture(options.model, options.architecture);
  ResolveData(options);
  const bool text = RequireDataset(options.dataset).kind == DatasetKind::kText;
  if (text != IsLanguageModel(options.model)) {
    Refuse(fmt::format("--model {} learns from {}, --dataset {} has {}", options.model,
                       text ? "images" : "text", options.dataset, text ? "text" : "images"));
  }
  CheckRun(options);
  CheckCompression(options);
  CheckEncoding(options);
  if (options.quiet) options.log_level = "warning";
  options.device = ResolveDevice(options.device, devices);
  RequireBackend(options.backend, options.device, options.workers, devices);
  CheckOptimizer(options);
  CheckSchedule(options);
  CheckStep(options);
  ResolveMemory(options);
  ResolveCollective(options);
}

nlohmann::json ToJson(const TrainOptions& o) {
  nlohmann::json json = CompressionJson(o);
  json.update({{"model", o.model},
               {"stem", o.architecture.stem},
               {"channels_last", o.architecture.channels_last},
               {"layers", o.architecture.layers},
               {"heads", o.architecture.heads},
               {"width", o.architecture.width},
               {"dataset", o.dataset},
               {"data_dir", o.data_dir},
               {"augment", o.augment},
               {"text_file", o.text_file},
               {"tokens", o.tokens},
               {"context", o.context},
               {"max_train_samples", o.max_train_samples},
               {"max_test_samples", o.max_test_samples},
               {"eval_every_steps", o.eval_every_steps},
               {"epochs", o.epochs},
               {"batch_size", o.batch_size},
               {"seed", o.seed},
               {"optimizer", o.optimizer},
               {"lr", o.lr},
               {"momentum", o.momentum},
               {"nesterov", o.nesterov},
               {"weight_decay", o.weight_decay},
               {"betas", o.betas},
               {"eps", o.eps},
               {"trust_coefficient", o.trust_coefficient},
               {"schedule", o.schedule},
               {"milestones", o.milestones},
               {"gamma", o.gamma},
               {"lr_warmup_epochs", o.lr_warmup_epochs},
               {"scale_lr", o.scale_lr},
               {"clip_grad_norm", o.clip_grad_norm},
               {"label_smoothing", o.label_smoothing},
               {"accumulate", o.accumulate},
               {"amp", o.amp},
               {"find_unused_parameters", o.find_unused_parameters},
               {"compress", o.compress},
               {"collective", o.collective},
               {"plan", o.plan},
               {"bucket_mb", o.bucket_mb},
               {"workers", o.workers},
               {"rendezvous", o.rendezvous},
               {"backend", o.backend},
               {"device", o.device},
               {"interface", o.interface},
               {"threads", o.threads},
               {"timeout", o.timeout_s},
               {"log_dir", o.log_dir},
               {"log_every", o.log_every},
               {"tensorboard", o.tensorboard},
               {"record_gradients", o.record_gradients},
               {"record_every", o.record_every},
               {"json", o.json},
               {"json_lines", o.json_lines},
               {"quiet", o.quiet},
               {"log_level", o.log_level},
               {"checkpoint_dir", o.checkpoint_dir},
               {"save_every", o.save_every},
               {"save_every_steps", o.save_every_steps},
               {"keep", o.keep},
               {"resume", o.resume}});
  return json;
}

std::map<std::string, std::string> AgreedConfiguration(const TrainOptions& options) {
  // Where a worker lies may differ from worker to worker; what it computes may not.
  static const std::set<std::string> kLocal = {
      "data_dir", "text_file",    "workers",          "rendezvous",     "interface",  "threads",
      "log_dir",  "log_every",    "tensorboard",      "json",           "plan",       "log_level",
      "keep",     "record_every", "record_gradients", "checkpoint_dir", "json_lines", "quiet"};
  std::map<std::string, std::string> agreed;
  const nlohmann::json json = ToJson(options);
  for (const auto& [key, value] : json.items()) {
    if (kLocal.contains(key)) continue;
    agreed[FlagOf(key)] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return agreed;
}

}  // namespace cddp
