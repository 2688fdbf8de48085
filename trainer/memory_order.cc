#include "trainer/memory_order.h"

#include <algorithm>
#include <array>
#include <optional>

namespace cddp {
namespace {

using Order = std::array<int64_t, 4>;
constexpr Order kAsItIs{0, 1, 2, 3};
constexpr Order kChannelsToEnd{0, 2, 3, 1};
constexpr Order kChannelsFromEnd{0, 3, 1, 2};

// `from`: how the dimensions of a parameter follow each other; `change`: where from there they go.
void Reorder(const torch::nn::Module& module, std::string_view memory, const Order& from,
             const Order& change, MemoryState* state) {
  const auto parameters = module.named_parameters();
  for (auto& [key, values] : *state) {
    const std::optional<MemoryKey> of = ParseMemoryKey(memory, key);
    const at::Tensor* parameter = of ? parameters.find(of->parameter) : nullptr;
    if (parameter == nullptr || parameter->dim() != 4 ||
        static_cast<size_t>(parameter->numel()) != values.size()) {
      continue;
    }
    const at::Tensor entries = torch::from_blob(values.data(), {parameter->numel()});
    const std::vector<int64_t> sizes = parameter->permute(from).sizes().vec();
    entries.copy_(entries.view(sizes).permute(change).flatten());
  }
}

}  // namespace

bool HasChannelsLast(const torch::nn::Module& module) {
  return std::ranges::any_of(module.parameters(), [](const at::Tensor& parameter) {
    return parameter.dim() == 4 && !parameter.is_contiguous() &&
           parameter.is_contiguous(at::MemoryFormat::ChannelsLast);
  });
}

void ToRowMajor(const torch::nn::Module& module, std::string_view memory, MemoryState* state) {
  Reorder(module, memory, kChannelsToEnd, kChannelsFromEnd, state);
}

void ToChannelsLast(const torch::nn::Module& module, std::string_view memory, MemoryState* state) {
  Reorder(module, memory, kAsItIs, kChannelsToEnd, state);
}

}  // namespace cddp
