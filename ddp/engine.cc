#include "ddp/engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <unordered_set>

#include "cddp/status.h"
#include "ddp/torch_error.h"

namespace cddp {
namespace {

// `device`: of the first parameter.
void RequireSynchronisable(const std::string& name, const at::Tensor& parameter,
                           const at::Device& device, const DdpOptions& options) {
  const auto refuse = [&](const std::string& why) {
    throw StatusError(StatusCode::kInvalidArgument, fmt::format("parameter {} {}", name, why));
  };
  if (parameter.scalar_type() != torch::kFloat) {
    refuse(fmt::format("is {}, only float32 can be synchronised",
                       c10::toString(parameter.scalar_type())));
  }
  if (parameter.is_meta()) refuse("is on meta, a device that holds no values");
  if (parameter.device() != device) {
    refuse(fmt::format("is on {}, others on {}: all must be on one device",
                       parameter.device().str(), device.str()));
  }
  // A bucket is full when it has reached its size: it may be larger by one parameter.
  constexpr int64_t kMaxElements = std::numeric_limits<uint32_t>::max();
  const int64_t bucket_elements = std::max(options.bucket_bytes, options.first_bucket_bytes) /
                                  static_cast<int64_t>(sizeof(float));
  if (parameter.numel() > kMaxElements - bucket_elements) {
    refuse(fmt::format("has {} elements: its bucket could have more than 2^32 - 1",
                       parameter.numel()));
  }
}

// Broadcasting between different modules would abort the process, or hang.
void RequireSameModule(const torch::nn::Module& module, World& world) {
  std::string layout;
  size_t tensors = 0;
  int64_t elements = 0;
  const auto add = [&](const std::string& name, const at::Tensor& tensor, bool synchronised) {
    layout += fmt::format("{} {} {} {}\n", name, fmt::join(tensor.sizes(), "x"),
                          c10::toString(tensor.scalar_type()), synchronised);
    if (tensor.layout() == at::kStrided) layout += fmt::to_string(fmt::join(tensor.strides(), ","));
    ++tensors;
    elements += tensor.numel();
  };
  for (const auto& p : module.named_parameters())
    add(p.key(), p.value(), p.value().requires_grad());
  for (const auto& b : module.named_buffers()) add(b.key(), b.value(), false);

  const int differing = world.CountDiffering(XXH3_64bits(layout.data(), layout.size()));
  if (differing == 0) return;
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("the modules of {} of {} ranks differ from rank 0's in the names, shapes, "
                  "types or order in memory of parameters or buffers; rank {} has {} of them with "
                  "{} elements",
                  differing, world.size(), world.rank(), tensors, elements));
}

// The tensors that the graph behind `loss` gives a gradient to.
std::unordered_set<const void*> LeavesOf(const at::Tensor& loss) {
  std::unordered_set<const void*> leaves;
  std::unordered_set<const torch::autograd::Node*> seen;
  std::vector<torch::autograd::Node*> pending{loss.grad_fn().get()};
  while (!pending.empty()) {
    torch::autograd::Node* node = pending.back();
    pending.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node)) {
      leaves.insert(leaf->variable.unsafeGetTensorImpl());
    }
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      pending.push_back(edge.function.get());
    }
  }
  return leaves;
}

void CopyAll(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) {
  const torch::NoGradGuard no_grad;
  torch_seam::CopyEach(to, from);
}

}  // namespace

DdpEngine::DdpEngine(torch::nn::Module& module, World& world, C10dTransport& transport,
                     Collective* collective, const DdpOptions& options)
    : transport_(transport), collective_(collective) {
  // Backward reaches the last layers first: buckets are filled in reverse order.
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const at::Tensor& first = named.empty() ? item.value() : named.front().second;
    RequireSynchronisable(item.key(), item.value(), first.device(), options);
    named.emplace_back(item.key(), item.value());
  }
  std::ranges::reverse(named);
  // A parameter that the Reducer finds unused by all ranks gets its bucket's piece only if it has a
  // gradient: without one, what a memory sends of it would be lost.
  if (collective->compression() != nullptr && options.find_unused_parameters) {
    for (auto& [name, parameter] : named) {
      if (!parameter.grad().defined()) parameter.mutable_grad() = torch::zeros_like(parameter);
    }
  }

  torch_seam::ReducerArguments arguments;
  CommHookOptions hook_options{.names = {}, .weight_decay = options.weight_decay};
  if (!named.empty()) hook_options.device = named.front().second.device();
  hook_options.staged =
      options.stage_gradients || (!hook_options.device.is_cpu() && !collective->on_device());
  for (const auto& [name, parameter] : named) {
    arguments.names[parameters_.size()] = name;
    hook_options.names[parameter.unsafeGetTensorImpl()] = name;
    parameters_.push_back(parameter);
    names_.push_back(name);
  }
  for (const at::Tensor& buffer : module.buffers()) {
    buffers_.push_back(buffer.detach());
    buffers_before_.push_back(buffer.detach().clone());
  }

  RequireSameModule(module, world);
  std::vector<at::Tensor> state;
  for (const at::Tensor& parameter : parameters_) state.push_back(parameter.detach());
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  BroadcastTensors(world.control_group(), state, "the broadcast of rank 0's parameters");

  // As PyTorch's DDP: one bucket at first, split by size when the layout is
  // rebuilt; with unused parameters there is no rebuilding.
  std::vector<size_t> limits{std::numeric_limits<int64_t>::max()};
  if (options.find_unused_parameters) {
    limits = {static_cast<size_t>(options.first_bucket_bytes),
              static_cast<size_t>(options.bucket_bytes)};
  }
  auto [buckets, bucket_limits] = c10d::compute_bucket_assignment_by_size(
      parameters_, limits, std::vector<bool>(parameters_.size(), false));

  arguments.parameters = parameters_;
  arguments.buckets = buckets;
  arguments.bucket_limits = bucket_limits;
  arguments.group = world.control_group();
  arguments.bucket_bytes = options.bucket_bytes;
  arguments.first_bucket_bytes = options.first_bucket_bytes;
  arguments.find_unused_parameters = options.find_unused_parameters;
  reducer_ = torch_seam::MakeReducer(arguments);

  logger_ = std::make_shared<c10d::Logger>(reducer_);
  reducer_->set_logger(logger_);
  logger_->set_construction_data_and_log(module.name(), {}, -1, /*broadcast_buffers=*/true,
                                         /*has_sync_bn=*/false, /*static_graph=*/false);

  auto hook = std::make_unique<CommHook>(collective, std::move(hook_options));
  hook_ = hook.get();
  reducer_->register_comm_hook(std::move(hook));

  // Otherwise the first step has one bucket and the second others.
  RethrowAsPeerLost("the agreement on buckets", [&] {
    reducer_->push_rebuilt_params_for_all_indices();
    reducer_->rebuild_buckets();
  });
}

void DdpEngine::BeginStep(double loss_scale) {
  SyncBuffers();
  CopyAll(buffers_, buffers_before_);
  // Optimizer::zero_grad detaches gradients, which bucket views do not allow (1.13).
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters_) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (!gradients.empty()) at::_foreach_zero_(gradients);
  hook_->BeginStep(step_++, 1 / loss_scale);
  reducer_->prepare_for_forward();
  reducer_->rebuild_buckets();
}

void DdpEngine::Backward(const at::Tensor& output, const at::Tensor& loss) {
  using Clock = std::chrono::steady_clock;
  try {
    reducer_->prepare_for_backward({output});
    const auto start = Clock::now();
    loss.backward();
    const auto last_bucket = hook_->last_bucket();
    exposed_ = last_bucket < start ? Clock::duration(0) : Clock::now() - last_bucket;
  } catch (const std::exception&) {
    ThrowIfError(hook_->status());
    throw;
  }
  RequireAllParametersUsed(loss);
}

// Buckets without all their gradients were not handed over: the other ranks may be waiting
// for them, and learn from this rank's end that they wait in vain.
void DdpEngine::RequireAllParametersUsed(const at::Tensor& loss) const {
  if (hook_->parameters() == parameters_.size()) return;
  const std::unordered_set<const void*> used = LeavesOf(loss);
  std::vector<std::string> unused;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!used.contains(parameters_[i].unsafeGetTensorImpl())) unused.push_back(names_[i]);
  }
  constexpr size_t kShown = 5;
  const size_t shown = std::min(kShown, unused.size());
  throw StatusError(
      StatusCode::kInvalidArgument,
      fmt::format("{} parameter(s) had no part in the loss of step {}: {}{}; if that is meant, "
                  "use --find-unused-parameters",
                  unused.size(), step_ - 1,
                  fmt::join(unused.begin(), unused.begin() + static_cast<ptrdiff_t>(shown), ", "),
                  shown < unused.size() ? ", ..." : ""));
}

StepOutcome DdpEngine::EndStep() {
  const StepOutcome outcome = collective_->EndStep();
  if (outcome == StepOutcome::kVoid) CopyAll(buffers_before_, buffers_);
  return outcome;
}

}  // namespace cddp
