#include "trainer/tensor_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstring>
#include <memory>

#include "cddp/status.h"
#include "ddp/torch_seam.h"
#include "trainer/failure.h"
#include "trainer/lars.h"

namespace cddp {
namespace {

using torch::optim::OptimizerParamState;

struct TypeRow {
  TensorType type;
  at::ScalarType torch;
};
constexpr std::array<TypeRow, 7> kTypes = {{{TensorType::kF32, at::kFloat},
                                            {TensorType::kF64, at::kDouble},
                                            {TensorType::kF16, at::kHalf},
                                            {TensorType::kBF16, at::kBFloat16},
                                            {TensorType::kI64, at::kLong},
                                            {TensorType::kI32, at::kInt},
                                            {TensorType::kU8, at::kByte}}};

std::string Describe(std::string_view type, const auto& shape) {
  return fmt::format("{} [{}]", type, fmt::join(shape, ", "));
}

TensorType TypeOf(const std::string& name, const at::Tensor& tensor) {
  for (const TypeRow& row : kTypes) {
    if (row.torch == tensor.scalar_type()) return row.type;
  }
  Refuse(fmt::format("tensor {} is {}, which checkpoints cannot hold", name,
                     c10::toString(tensor.scalar_type())));
}

at::Tensor ToTorch(const TensorView& view) {
  at::ScalarType type = at::kFloat;
  for (const TypeRow& row : kTypes) {
    if (row.type == view.type) type = row.torch;
  }
  at::Tensor tensor = torch::empty(std::vector<int64_t>(view.shape.begin(), view.shape.end()),
                                   torch::TensorOptions().dtype(type));
  if (!view.bytes.empty()) std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

// What a state holds, by the names that PyTorch gives it.
struct Fields {
  std::vector<std::pair<const char*, at::Tensor*>> tensors;
  int64_t* step = nullptr;
};

template <typename State>
Fields AdamFields(State& state) {
  return {{{"exp_avg", &state.exp_avg()},
           {"exp_avg_sq", &state.exp_avg_sq()},
           {"max_exp_avg_sq", &state.max_exp_avg_sq()}},
          &state.step()};
}

Fields FieldsOf(OptimizerParamState& state) {
  if (auto* sgd = dynamic_cast<torch::optim::SGDParamState*>(&state)) {
    return {{{"momentum_buffer", &sgd->momentum_buffer()}}};
  }
  if (auto* lars = dynamic_cast<LarsParamState*>(&state)) {
    return {{{"momentum_buffer", &lars->momentum_buffer()}}};
  }
  if (auto* adam = dynamic_cast<torch::optim::AdamParamState*>(&state)) return AdamFields(*adam);
  if (auto* adamw = dynamic_cast<torch::optim::AdamWParamState*>(&state)) {
    return AdamFields(*adamw);
  }
  throw StatusError(StatusCode::kInternal, "the state of this optimiser is not known");
}

std::unique_ptr<OptimizerParamState> NewState(const torch::optim::Optimizer& optimizer) {
  using namespace torch::optim;
  if (dynamic_cast<const SGD*>(&optimizer)) return std::make_unique<SGDParamState>();
  if (dynamic_cast<const Lars*>(&optimizer)) return std::make_unique<LarsParamState>();
  if (dynamic_cast<const Adam*>(&optimizer)) return std::make_unique<AdamParamState>();
  if (dynamic_cast<const AdamW*>(&optimizer)) return std::make_unique<AdamWParamState>();
  throw StatusError(StatusCode::kInternal, "the state of this optimiser is not known");
}

// The one field of `state` that the tensor is; refuses any other.
void SetField(const std::string& name, const std::string& field, const at::Tensor& parameter,
              const at::Tensor& value, OptimizerParamState* state) {
  const Fields fields = FieldsOf(*state);
  if (field == "step" && fields.step != nullptr && value.scalar_type() == at::kLong &&
      value.numel() == 1) {
    *fields.step = value.item<int64_t>();
    return;
  }
  for (const auto& [known, tensor] : fields.tensors) {
    if (field != known) continue;
    if (value.sizes() != parameter.sizes() || value.scalar_type() != parameter.scalar_type()) {
      Refuse(fmt::format("the optimiser's {} is {}, its parameter {}", name,
                         Describe(c10::toString(value.scalar_type()), value.sizes()),
                         Describe(c10::toString(parameter.scalar_type()), parameter.sizes())));
    }
    // As the parameter lies in memory, so that sums run in the same order.
    *tensor = torch::empty_like(parameter).copy_(value);
    return;
  }
  Refuse(
      fmt::format("the optimiser keeps no {}: was the checkpoint made with another "
                  "--optimizer?",
                  name));
}

}  // namespace

NamedTensors ModuleTensors(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& item : module.named_parameters()) tensors[item.key()] = item.value().detach();
  for (const auto& item : module.named_buffers()) tensors[item.key()] = item.value().detach();
  return tensors;
}

NamedTensors OptimizerTensors(torch::optim::Optimizer& optimizer, const torch::nn::Module& module) {
  NamedTensors tensors;
  auto& states = optimizer.state();
  for (const auto& item : module.named_parameters()) {
    const auto it = states.find(torch_seam::OptimizerStateKey(states, item.value()));
    if (it == states.end()) continue;
    const Fields fields = FieldsOf(*it->second);
    for (const auto& [field, tensor] : fields.tensors) {
      if (tensor->defined()) tensors[item.key() + "/" + field] = tensor->detach();
    }
    if (fields.step != nullptr) {
      tensors[item.key() + "/step"] = torch::tensor(*fields.step, torch::kLong);
    }
  }
  return tensors;
}

void LoadOptimizer(const Safetensors& file, const torch::nn::Module& module,
                   torch::optim::Optimizer* optimizer) {
  const torch::NoGradGuard no_grad;
  const auto parameters = module.named_parameters();
  std::map<std::string, std::unique_ptr<OptimizerParamState>> loaded;
  for (const auto& [name, view] : file.tensors()) {
    const size_t slash = name.rfind('/');
    const std::string parameter = name.substr(0, slash);
    const at::Tensor* of = parameters.find(parameter);
    if (slash == std::string::npos || of == nullptr) {
      Refuse(fmt::format("the optimiser's {} is of no parameter of this model", name));
    }
    auto& state = loaded[parameter];
    if (!state) state = NewState(*optimizer);
    SetField(name, name.substr(slash + 1), *of, ToTorch(view), state.get());
  }
  auto& states = optimizer->state();
  states.clear();
  for (auto& [parameter, state] : loaded) {
    states[torch_seam::OptimizerStateKey(states, parameters[parameter])] = std::move(state);
  }
}

void CopyInto(const Safetensors& file, const std::string& source, const NamedTensors& targets) {
  constexpr size_t kShown = 20;
  std::vector<std::string> differences;
  for (const auto& [name, target] : targets) {
    const std::string here = Describe(TensorTypeName(TypeOf(name, target)), target.sizes());
    const auto it = file.tensors().find(name);
    if (it == file.tensors().end()) {
      differences.push_back(fmt::format("{}: {} in this model, not in the file", name, here));
      continue;
    }
    const std::string there = Describe(TensorTypeName(it->second.type), it->second.shape);
    if (here != there) {
      differences.push_back(fmt::format("{}: {} in this model, {} in the file", name, here, there));
    }
  }
  for (const auto& [name, view] : file.tensors()) {
    if (targets.contains(name)) continue;
    differences.push_back(fmt::format("{}: {} in the file, not in this model", name,
                                      Describe(TensorTypeName(view.type), view.shape)));
  }
  if (!differences.empty()) {
    const size_t more = differences.size() - std::min(kShown, differences.size());
    differences.resize(differences.size() - more);
    Refuse(fmt::format("{} is of another model:\n  {}{}", source, fmt::join(differences, "\n  "),
                       more > 0 ? fmt::format("\n  and {} more", more) : ""));
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, target] : targets) target.copy_(ToTorch(file.tensors().at(name)));
}

TensorBytes::TensorBytes(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& bytes = held_.emplace_back(tensor.detach().to(torch::kCPU).contiguous());
    views_[name] = {.type = TypeOf(name, tensor),
                    .shape = {bytes.sizes().begin(), bytes.sizes().end()},
                    .bytes = {static_cast<const uint8_t*>(bytes.data_ptr()), bytes.nbytes()}};
  }
}

}  // namespace cddp
