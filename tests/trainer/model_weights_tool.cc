// Makes the residual nets for tests/python/torchvision_test.py, which compares them with
// torchvision's. Tensors come and go as safetensors files.
//
//   model_weights_tool make MODEL STEM CLASSES SEED IMAGES WEIGHTS
//     draws the model's weights, shows it `images` once in training mode, and writes its
//     parameters and buffers; prints their names in the order of registration
//   model_weights_tool logits MODEL STEM CLASSES WEIGHTS IMAGES LOGITS
//     writes the logits of `images` in evaluation mode
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "cddp/status.h"
#include "trainer/model.h"
#include "trainer/safetensors.h"

namespace cddp {
namespace {

at::Tensor ReadTensor(const TensorViews& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw StatusError(StatusCode::kCorrupt, "there is no " + name);
  const TensorView& view = found->second;
  const auto type = view.type == TensorType::kI64 ? torch::kLong : torch::kFloat;
  at::Tensor tensor =
      torch::empty(std::vector<int64_t>(view.shape.begin(), view.shape.end()), type);
  if (tensor.nbytes() != view.bytes.size()) {
    throw StatusError(StatusCode::kCorrupt, name + " is neither F32 nor I64");
  }
  std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

// `tensor` must be contiguous and outlive the view.
TensorView View(const at::Tensor& tensor) {
  return {.type = tensor.scalar_type() == torch::kLong ? TensorType::kI64 : TensorType::kF32,
          .shape = std::vector<uint64_t>(tensor.sizes().begin(), tensor.sizes().end()),
          .bytes = {static_cast<const uint8_t*>(tensor.data_ptr()), tensor.nbytes()}};
}

std::vector<std::pair<std::string, at::Tensor>> State(const Model& model) {
  auto state = model.named_parameters().pairs();
  for (const auto& buffer : model.named_buffers()) state.emplace_back(buffer.key(), buffer.value());
  return state;
}

std::shared_ptr<Model> Make(char** arguments) {
  return MakeModel({.name = arguments[0],
                    .architecture = {.stem = arguments[1]},
                    .channels = 3,
                    .rows = 32,
                    .cols = 32,
                    .classes = std::atoi(arguments[2])});
}

at::Tensor ReadImages(const char* file) {
  return ReadTensor(Safetensors::Read(file).tensors(), "images");
}

void MakeWeights(char** arguments) {
  torch::manual_seed(static_cast<uint64_t>(std::atoll(arguments[3])));
  const auto model = Make(arguments);
  model->forward(ReadImages(arguments[4]));
  TensorViews tensors;
  for (const auto& [name, tensor] : State(*model)) {
    tensors[name] = View(tensor);
    fmt::print("{}\n", name);
  }
  WriteSafetensors(arguments[5], tensors, {});
}

void WriteLogits(char** arguments) {
  const auto model = Make(arguments);
  const Safetensors weights = Safetensors::Read(arguments[3]);
  const auto state = State(*model);
  if (state.size() != weights.tensors().size()) {
    throw StatusError(StatusCode::kCorrupt, fmt::format("the model has {} tensors, the file {}",
                                                        state.size(), weights.tensors().size()));
  }
  model->eval();
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state) tensor.copy_(ReadTensor(weights.tensors(), name));
  const at::Tensor logits = model->forward(ReadImages(arguments[4])).contiguous();
  WriteSafetensors(arguments[5], {{"logits", View(logits)}}, {});
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) {
  const std::string command = argc == 8 ? argv[1] : "";
  try {
    if (command == "make") {
      cddp::MakeWeights(argv + 2);
    } else if (command == "logits") {
      cddp::WriteLogits(argv + 2);
    } else {
      fmt::print(stderr, "see the head of the source for how to call this\n");
      return 2;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "model_weights_tool: {}\n", error.what());
    return 1;
  }
  return 0;
}
