#include "trainer/train_flags.h"

#include <string>

#include "cddp/frame.h"
#include "trainer/data/catalog.h"
#include "trainer/number_range.h"
#include "trainer/schedule.h"
#include "trainer/threads.h"

namespace cddp {
namespace {

// Choices within the model: without a default of their own, for each model has its.
void AddArchitectureOptions(CLI::App* app, Architecture* a) {
  const auto size = [&](const char* flag, int64_t* value, const char* help) {
    app->add_option(flag, *value, help)->check(NumberRange(1))->default_str("")->group("Model");
  };
  app->add_option("--stem", a->stem,
                  "resnet18, resnet50: cifar (the default: a 3x3 convolution) for images of about "
                  "32x32, imagenet (7x7 with stride 2, pooling) for those of about 224x224")
      ->group("Model");
  app->add_flag("--channels-last", a->channels_last,
                "resnet8, resnet18, resnet50: images and weights with the channels last in memory")
      ->group("Model");
  size("--layers", &a->layers, "transformer: blocks (4 unless given)");
  size("--heads", &a->heads, "transformer: attention heads of a block (4 unless given)");
  size("--width", &a->width, "transformer: features, a multiple of the heads (128 unless given)");
}

}  // namespace

std::string OneOf(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

void AddModelOptions(CLI::App* app, TrainOptions* o) {
  app->add_option("--model", o->model,
                  "simple_cnn (small images), resnet8 (a small residual net, made for CPUs), "
                  "resnet18, resnet50 (images), transformer (text)")
      ->group("Training");
  AddArchitectureOptions(app, &o->architecture);
  app->add_option("--dataset", o->dataset, "Data set: " + OneOf(DatasetNames()))->group("Training");
  app->add_option("--data-dir", o->data_dir, "Folder of the data sets; missing ones are fetched")
      ->group("Training");
  app->add_option("--augment", o->augment,
                  "How training images are varied, each epoch anew: none; crop-flip (shifted by up "
                  "to 4 pixels, mirrored in half of the cases); auto is crop-flip for cifar10")
      ->group("Training");
  app->add_option("--text-file", o->text_file,
                  "With --dataset text: the text to train on; its last tenth is for validation "
                  "(default: a public-domain novel)")
      ->group("Training");
  app->add_option("--tokens", o->tokens,
                  "What a text is cut into: bytes (any file), or chars, the characters that occur "
                  "in it (UTF-8)")
      ->group("Training");
  app->add_option("--context", o->context,
                  "Tokens of a text that a sample has, and a transformer looks back on")
      ->group("Training");
  app->add_option("--max-train-samples", o->max_train_samples,
                  "Train on the first N samples only (0: all)")
      ->check(NumberRange(0))
      ->group("Training");
  app->add_option("--max-test-samples", o->max_test_samples,
                  "Evaluate on the first N samples only (0: all)")
      ->check(NumberRange(0))
      ->group("Training");
  app->add_option("--epochs", o->epochs, "Passes over the training data")->group("Training");
  app->add_option("--batch-size", o->batch_size, "Samples per worker and step")->group("Training");
  app->add_option("--seed", o->seed,
                  "Seed of initialisation, shuffling, dropout and of what compression draws")
      ->check(NumberRange(0))  // or -1 would become 2^64 - 1
      ->group("Training");
}

void AddOptimisationOptions(CLI::App* app, TrainOptions* o) {
  const auto add = [&](const char* flag, auto& value, const std::string& help) {
    return app->add_option(flag, value, help)->group("Optimisation");
  };
  add("--optimizer", o->optimizer, "Optimiser: " + OneOf(OptimizerNames()));
  add("--lr", o->lr, "Learning rate (adam and adamw: rather 0.001)");
  add("--momentum", o->momentum, "Momentum of sgd and lars");
  app->add_flag("--nesterov", o->nesterov, "Nesterov momentum (sgd)")->group("Optimisation");
  add("--weight-decay", o->weight_decay,
      "L2 penalty added to the gradient; adamw: decoupled from it, lr times this times the "
      "weights");
  add("--betas", o->betas, "Decay of the two moments of adam and adamw")
      ->delimiter(',')
      ->expected(2)
      ->multi_option_policy(CLI::MultiOptionPolicy::Throw);  // else of three the last two count
  add("--eps", o->eps, "Added to the denominator of adam and adamw");
  add("--trust-coefficient", o->trust_coefficient,
      "lars: a layer's step as a share of its weights' norm, times --lr");
  add("--schedule", o->schedule, "Learning rate over time: " + OneOf(ScheduleNames()));
  add("--milestones", o->milestones,
      "multistep: epochs after which the rate is multiplied by --gamma, such as 5,8")
      ->delimiter(',');
  add("--gamma", o->gamma, "multistep: factor of the rate at each milestone");
  add("--lr-warmup-epochs", o->lr_warmup_epochs,
      "Epochs in which the rate climbs to its peak by equal amounts: from 0, with --scale-lr "
      "from --lr");
  app->add_flag("--scale-lr", o->scale_lr,
                "Peak rate is --lr times the number of workers and times --accumulate (linear "
                "scaling rule)")
      ->group("Optimisation");
  add("--clip-grad-norm", o->clip_grad_norm,
      "Largest L2 norm of the averaged gradient of all parameters together, as the optimiser "
      "gets it (0: any). With --compress that is the update that came back from the workers: "
      "what is clipped away is gone, memories keep nothing of it. --clip-norm, instead, clips "
      "each parameter on each worker before its memory accumulates");
  add("--label-smoothing", o->label_smoothing,
      "Share of the target that all classes get alike, in [0, 1]");
  add("--accumulate", o->accumulate,
      "Batches per worker and optimiser step: as if --batch-size were N times as large, with "
      "the memory of one and one synchronisation");
  add("--amp", o->amp,
      "Precision of the forward pass: none (fp32), bf16, or fp16 with loss scaling (GPU). "
      "Weights, gradients and memories stay fp32");
}

void AddCompressionOptions(CLI::App* app, TrainOptions* o) {
  app->add_option("--ratio", o->ratio, "Share of each parameter's gradient that is sent, in (0, 1]")
      ->group("Compression");
  app->add_option("--selector", o->selector,
                  "Which entries are sent: topk (the largest), randomk, threshold, block")
      ->group("Compression");
  app->add_option(
         "--memory", o->memory,
         "What happens to the rest: residual keeps it for the next step; dgc keeps it with "
         "momentum, in place of the optimiser's; none drops it; auto is dgc with SGD "
         "momentum, residual otherwise")
      ->group("Compression");
  app->add_option("--clip-norm", o->clip_norm,
                  "Largest L2 norm of a parameter's gradient on a worker, before its memory "
                  "accumulates it (memory dgc; 0: any); see --clip-grad-norm")
      ->group("Compression");
  app->add_option("--momentum-masking", o->momentum_masking,
                  "Whether an entry's momentum is forgotten when it is sent (memory dgc): on, off, "
                  "or auto: on for ratios below 0.005, where entries wait long")
      ->group("Compression");
  app->add_option("--warmup-epochs", o->warmup_epochs,
                  "Epochs before --ratio holds, in which the ratio falls to it by equal factors (0.01 "
                  "and 1: 0.1 in the first)")
      ->group("Compression");
  app->add_option("--warmup-steps", o->warmup_steps,
                  "Steps in which the ratio falls, by equal factors, from 0.25 to --ratio, instead")
      ->group("Compression");
  app->add_option(
         "--whole-limit", o->whole_limit,
         "Parameters of at most so many elements are sent whole: biases, scales, small last "
         "layers")
      ->group("Compression");
  app->add_option("--adaptive-ratio", o->adaptive_ratio,
                  "Every N steps share the entries out anew, more to parameters with more gradient "
                  "energy (0: the same ratio for all)")
      ->group("Compression");
  app->add_flag("--no-error-feedback", o->no_error_feedback, "The same as --memory none")
      ->group("Compression");
  app->add_option("--values", o->values,
                  "How values travel: " + OneOf(ValueFormatNames()) +
                      "; what is rounded away stays in the memory")
      ->group("Compression");
  app->add_option("--indices", o->indices,
                  "How indices travel: " + OneOf(IndexFormatNames()) + " (auto: the smallest)")
      ->group("Compression");
  app->add_flag("--stochastic-rounding", o->stochastic_rounding,
                "Round values of int8 and int4 by chance, without bias")
      ->group("Compression");
  app->add_option(
         "--collective", o->collective,
         "How gradients are combined: dense, gather (every worker's entries to all), split "
         "(to the elements' owners, who send on the largest: traffic does not grow with "
         "the workers), or auto: without --compress dense, with it the one of these that "
         "makes steps shortest, measured here (one worker: gather)")
      ->group("Compression");
  app->add_option("--owner-budget", o->owner_budget,
                  "Entries that the owners of split send on together, as a multiple of what a "
                  "worker sends (inf: all)")
      ->group("Compression");
}

void AddReportOptions(CLI::App* app, TrainOptions* o) {
  app->add_option(
         "--threads", o->threads,
         "Threads per worker (0: OMP_NUM_THREADS if that is set, else the cores, shared out)")
      ->group("Running");
  app->add_option("--json", o->json, "Write the result as JSON to this file (-: standard output)")
      ->group("Output");
  app->add_option("--log-level", o->log_level, "What is said: " + OneOf(LogLevelNames()))
      ->group("Output");
}

void AddCompressOption(CLI::App* app, TrainOptions* o) {
  app->add_flag("--compress", o->compress, "Send only the largest gradients")->group("Compression");
}

void AddLaunchOptions(CLI::App* app, TrainOptions* o) {
  app->add_option("--bucket-mb", o->bucket_mb,
                  "Gradients are synchronised in buckets of this many MiB, during backward")
      ->group("Compression");
  app->add_option("--plan", o->plan,
                  "Repeat what --collective auto has decided in the run whose plan.json this is")
      ->group("Compression");
  AddWorkerOptions(app, o);
}

void AddWorkerOptions(CLI::App* app, TrainOptions* o) {
  app->add_option("--workers", o->workers,
                  "Start N workers on this machine (not under torchrun, which starts its own), or "
                  "auto: one of one thread for each core that this process may run on")
      ->transform(
          [](const std::string& workers) {
            return workers == "auto" ? std::to_string(UsableCores()) : workers;
          },
          "", "auto")
      ->check(NumberRange(1, 1024))
      ->default_str("")
      ->group("Running");
  app->add_option("--rendezvous", o->rendezvous,
                  "Where workers meet: env (MASTER_ADDR, MASTER_PORT) or file:PATH, a path that "
                  "does not exist yet, for workers of one machine")
      ->take_last()  // the launcher's stands behind the user's
      ->group("Running");
  app->add_option(
         "--backend", o->backend,
         "What gradients travel over: gloo, or nccl, where each worker has a GPU of its own")
      ->group("Running");
  app->add_option("--interface", o->interface, "Network interface for the gradients, such as eth0")
      ->group("Running");
  app->add_option("--timeout", o->timeout_s,
                  "Seconds of silence after which a worker counts as lost")
      ->group("Running");
}

void AddTrainingOptions(CLI::App* app, TrainOptions* o) {
  AddModelOptions(app, o);
  AddOptimisationOptions(app, o);
  AddCompressionOptions(app, o);
  AddLaunchOptions(app, o);
  app->add_option("--eval-every-steps", o->eval_every_steps,
                  "Evaluate every N steps, besides after each epoch (0: no more); the time that "
                  "takes is not counted as training")
      ->check(NumberRange(0))
      ->group("Training");
  app->add_flag("--find-unused-parameters", o->find_unused_parameters,
                "For models that leave parameters out in some steps (costs a walk over the graph "
                "and one more agreement per step)")
      ->group("Running");
  app->add_option(
         "--device", o->device,
         "Device: cpu, cuda (each worker of a machine takes the next GPU), cuda:N, mps, or "
         "auto: cuda where there is a GPU")
      ->group("Running");
  AddReportOptions(app, o);
  app->add_flag("--quiet", o->quiet, "Only warnings and errors: --log-level warning")
      ->group("Output");
  app->add_flag("--json-lines", o->json_lines,
                "Write the records of metrics.jsonl to standard output too, as they come")
      ->group("Output");
  app->add_option("--log-dir", o->log_dir, "Each run makes a folder here")->group("Output");
  app->add_option("--log-every", o->log_every,
                  "Steps from one record of the run folder's metrics.jsonl to the next (0: epochs "
                  "only)")
      ->group("Output");
  app->add_flag("--tensorboard", o->tensorboard,
                "Write the metrics as a TensorBoard event file too: tensorboard --logdir runs")
      ->group("Output");
}

void AddCheckpointOptions(CLI::App* app, TrainOptions* o) {
  const auto add = [&](const char* flag, auto& value, const std::string& help) {
    app->add_option(flag, value, help)->group("Checkpoints");
  };
  add("--checkpoint-dir", o->checkpoint_dir,
      "Folder of the checkpoints, the same for all workers (empty: checkpoints/ in the run's "
      "folder)");
  add("--save-every", o->save_every, "Epochs from one checkpoint to the next (0: none)");
  add("--save-every-steps", o->save_every_steps, "Besides, every N steps (0: none)");
  add("--keep", o->keep, "How many of the last checkpoints are kept, besides the best one");
  add("--resume", o->resume,
      "Go on from a checkpoint, or the newest whole one of a folder or run; auto: of "
      "--checkpoint-dir, or anew where there is none, so that the same command starts and restarts "
      "a run. SIGTERM "
      "and SIGUSR1 save one and end with code 75");
}

}  // namespace cddp
