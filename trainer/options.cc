#include "trainer/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "cddp/frame.h"
#include "cddp/memory.h"
#include "cddp/selection.h"
#include "cddp/status.h"
#include "trainer/data/catalog.h"
#include "trainer/model_names.h"
#include "trainer/nearest_name.h"
#include "trainer/schedule.h"

namespace cddp {
namespace {

[[noreturn]] void Refuse(const std::string& message) {
  throw StatusError(StatusCode::kInvalidArgument, message);
}

void RequireRange(const char* flag, double value, double low, double high) {
  if (value >= low && value <= high) return;  // not so for NaN
  Refuse(fmt::format("{} must be from {} to {}, got {}", flag, low, high, value));
}

}  // namespace

void Resolve(TrainOptions& options) {
  RequireName("model", options.model, ModelNames());
  RequireName("dataset", options.dataset, DatasetNames());
  RequireName("optimizer", options.optimizer, {"sgd"});
  RequireName("schedule", options.schedule, ScheduleNames());
  RequireName("selector", options.selector, SelectorNames());
  std::vector<std::string> memories = MemoryNames();
  memories.insert(memories.begin(), "auto");
  RequireName("memory", options.memory, memories);
  RequireName("values", options.values, ValueFormatNames());
  RequireName("indices", options.indices, IndexFormatNames());
  RequireName("collective", options.collective, {"auto", "dense", "gather", "split"});
  RequireName("backend", options.backend, {"gloo"});
  RequireName("device", options.device, {"auto", "cpu"});
  RequireName("log level", options.log_level,
              {"trace", "debug", "info", "warning", "error", "off"});
  RequireRange("--epochs", options.epochs, 1, 1'000'000);
  RequireRange("--batch-size", static_cast<double>(options.batch_size), 1, 1'000'000'000);
  RequireRange("--lr", options.lr, 0.0, 1e6);
  RequireRange("--momentum", options.momentum, 0.0, 1.0);
  RequireRange("--clip-norm", options.clip_norm, 0.0, 1e30);
  RequireRange("--warmup-epochs", options.warmup_epochs, 0, options.epochs);
  RequireRange("--adaptive-ratio", options.adaptive_ratio, 0, 1'000'000);
  RequireRange("--weight-decay", options.weight_decay, 0.0, 1e6);
  RequireRange("--bucket-mb", options.bucket_mb, 0.001, 4096.0);
  RequireRange("--timeout", options.timeout_s, 1.0, 86'400.0);
  RequireRange("--threads", options.threads, 0, 4096);
  RequireRange("--log-every", options.log_every, 0, 1'000'000'000);
  RequireRange("--record-every", options.record_every, 1, 1'000'000'000);
  if (Status ratio = ValidateRatio(options.ratio); !ratio.ok()) {
    Refuse("--ratio: " + ratio.message());
  }
  if (options.rendezvous != "env" && !options.rendezvous.starts_with("file:")) {
    Refuse(fmt::format("--rendezvous is env or file:PATH, got \"{}\"", options.rendezvous));
  }

  if (options.nesterov && options.momentum == 0) Refuse("--nesterov needs --momentum above 0");
  if (options.no_error_feedback) options.memory = "none";
  if (options.memory == "auto") {
    const bool momentum = options.momentum > 0 && options.momentum < 1;
    options.memory = options.optimizer == "sgd" && momentum ? "dgc" : "residual";
  }
  if (options.memory == "dgc" && options.momentum >= 1) {
    Refuse(fmt::format("--memory dgc needs --momentum below 1, got {}", options.momentum));
  }
  if (!options.compress) {
    if (options.clip_norm > 0) Refuse("--clip-norm acts on compressed gradients: add --compress");
    if (options.warmup_epochs > 0) Refuse("--warmup-epochs warms compression up: add --compress");
    if (options.adaptive_ratio > 0) Refuse("--adaptive-ratio is of compression: add --compress");
    if (options.values != TrainOptions().values)
      Refuse("--values are those of compression: add --compress");
    if (options.indices != "auto") Refuse("--indices are those of compression: add --compress");
  }
  if (options.stochastic_rounding && options.values != "int8" && options.values != "int4") {
    Refuse(fmt::format("--stochastic-rounding is for --values int8 and int4, the values are {}",
                       options.values));
  }
  if (options.clip_norm > 0 && options.memory != "dgc") {
    Refuse(fmt::format("--clip-norm clips before accumulation in --memory dgc; the memory is {}",
                       options.memory));
  }
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
  if (!(options.owner_budget > 0)) {
    Refuse(fmt::format("--owner-budget must be above 0 (inf: all that owners get), got {}",
                       options.owner_budget));
  }
  options.device = "cpu";
}

nlohmann::json ToJson(const TrainOptions& o) {
  return {{"model", o.model},
          {"dataset", o.dataset},
          {"data_dir", o.data_dir},
          {"max_train_samples", o.max_train_samples},
          {"epochs", o.epochs},
          {"batch_size", o.batch_size},
          {"optimizer", o.optimizer},
          {"lr", o.lr},
          {"momentum", o.momentum},
          {"nesterov", o.nesterov},
          {"weight_decay", o.weight_decay},
          {"schedule", o.schedule},
          {"seed", o.seed},
          {"compress", o.compress},
          {"ratio", o.ratio},
          {"selector", o.selector},
          {"memory", o.memory},
          {"clip_norm", o.clip_norm},
          {"warmup_epochs", o.warmup_epochs},
          {"adaptive_ratio", o.adaptive_ratio},
          {"values", o.values},
          {"indices", o.indices},
          {"stochastic_rounding", o.stochastic_rounding},
          {"collective", o.collective},
          // JSON has no infinity.
          {"owner_budget",
           std::isinf(o.owner_budget) ? nlohmann::json("inf") : nlohmann::json(o.owner_budget)},
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
          {"log_level", o.log_level}};
}

std::map<std::string, std::string> AgreedConfiguration(const TrainOptions& options) {
  // Where a worker lies may differ from worker to worker; what it computes may not.
  static const std::set<std::string> kLocal = {
      "data_dir",  "workers",          "rendezvous",  "interface", "threads",
      "log_dir",   "log_every",        "tensorboard", "json",      "plan",
      "log_level", "record_gradients", "record_every"};
  std::map<std::string, std::string> agreed;
  const nlohmann::json json = ToJson(options);
  for (const auto& [key, value] : json.items()) {
    if (kLocal.contains(key)) continue;
    std::string flag = "--" + key;
    std::ranges::replace(flag, '_', '-');
    agreed[flag] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return agreed;
}

}  // namespace cddp
