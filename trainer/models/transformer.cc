#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "cddp/status.h"
#include "trainer/models/factories.h"

namespace cddp {
namespace {

namespace nn = torch::nn;

class SelfAttention final : public nn::Module {
 public:
  SelfAttention(int64_t width, int64_t heads) : nn::Module("SelfAttention"), heads_(heads) {
    c_attn = register_module("c_attn", nn::Linear(width, 3 * width));
    c_proj = register_module("c_proj", nn::Linear(width, width));
  }

  // x is (batch, length, width); mask (length, length) is added to the scores.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) {
    const int64_t batch = x.size(0), length = x.size(1), width = x.size(2);
    const int64_t features = width / heads_;
    // (query, key or value; batch x heads; length; features)
    const at::Tensor qkv = c_attn(x)
                               .view({batch, length, 3, heads_, features})
                               .permute({2, 0, 3, 1, 4})
                               .reshape({3, batch * heads_, length, features});
    const at::Tensor scores = torch::baddbmm(mask, qkv[0], qkv[1].transpose(1, 2), 1,
                                             1.0 / std::sqrt(static_cast<double>(features)));
    const at::Tensor values = torch::bmm(scores.softmax(-1), qkv[2]);
    return c_proj(values.view({batch, heads_, length, features})
                      .transpose(1, 2)
                      .reshape({batch, length, width}));
  }

  nn::Linear c_attn{nullptr}, c_proj{nullptr};

 private:
  int64_t heads_;
};

class FeedForward final : public nn::Module {
 public:
  explicit FeedForward(int64_t width) : nn::Module("FeedForward") {
    c_fc = register_module("c_fc", nn::Linear(width, 4 * width));
    c_proj = register_module("c_proj", nn::Linear(4 * width, width));
  }

  at::Tensor forward(const at::Tensor& x) { return c_proj(torch::gelu(c_fc(x), "tanh")); }

  nn::Linear c_fc{nullptr}, c_proj{nullptr};
};

class TransformerBlock final : public nn::Module {
 public:
  TransformerBlock(int64_t width, int64_t heads) : nn::Module("Block") {
    ln_1_ = register_module("ln_1", nn::LayerNorm(nn::LayerNormOptions({width})));
    attn = register_module("attn", std::make_shared<SelfAttention>(width, heads));
    ln_2_ = register_module("ln_2", nn::LayerNorm(nn::LayerNormOptions({width})));
    mlp = register_module("mlp", std::make_shared<FeedForward>(width));
  }

  at::Tensor forward(at::Tensor x, const at::Tensor& mask) {
    x = x + attn->forward(ln_1_(x), mask);
    return x + mlp->forward(ln_2_(x));
  }

  std::shared_ptr<SelfAttention> attn;
  std::shared_ptr<FeedForward> mlp;

 private:
  nn::LayerNorm ln_1_{nullptr}, ln_2_{nullptr};
};

class Transformer final : public Model {
 public:
  Transformer(const Architecture& a, int64_t context, int64_t vocabulary) : Model("Transformer") {
    wte_ = register_module("wte", nn::Embedding(vocabulary, a.width));
    wpe_ = register_module("wpe", nn::Embedding(context, a.width));
    h_ = register_module("h", nn::ModuleList());
    for (int64_t layer = 0; layer < a.layers; ++layer) {
      h_->push_back(std::make_shared<TransformerBlock>(a.width, a.heads));
    }
    ln_f_ = register_module("ln_f", nn::LayerNorm(nn::LayerNormOptions({a.width})));
    Initialise(a.layers);
  }

  at::Tensor forward(at::Tensor tokens) override {
    const int64_t length = tokens.size(1);
    const int64_t context = wpe_->weight.size(0);
    if (length > context) {
      throw StatusError(StatusCode::kInvalidArgument,
                        fmt::format("a sequence of {} tokens does not fit into the model's "
                                    "context of {}",
                                    length, context));
    }
    at::Tensor x = wte_(tokens) + wpe_->weight.slice(0, 0, length);
    // No position looks at those behind it.
    const at::Tensor mask =
        torch::full({length, length}, -std::numeric_limits<float>::infinity(), x.options())
            .triu_(1);
    for (const auto& block : *h_) x = block->as<TransformerBlock>()->forward(x, mask);
    return torch::linear(ln_f_(x), wte_->weight);
  }

 private:
  void Initialise(int64_t layers) {
    constexpr double kStd = 0.02;
    for (const auto& module : modules(/*include_self=*/false)) {
      if (auto* linear = module->as<nn::Linear>()) {
        nn::init::normal_(linear->weight, 0.0, kStd);
        nn::init::zeros_(linear->bias);
      } else if (auto* embedding = module->as<nn::Embedding>()) {
        nn::init::normal_(embedding->weight, 0.0, kStd);
      }
    }
    // 2 * layers projections add to the residual stream: its variance must not grow
    // with them.
    const double residual_std = kStd / std::sqrt(2.0 * static_cast<double>(layers));
    for (const auto& module : *h_) {
      auto* block = module->as<TransformerBlock>();
      nn::init::normal_(block->attn->c_proj->weight, 0.0, residual_std);
      nn::init::normal_(block->mlp->c_proj->weight, 0.0, residual_std);
    }
  }

  nn::Embedding wte_{nullptr}, wpe_{nullptr};
  nn::ModuleList h_{nullptr};
  nn::LayerNorm ln_f_{nullptr};
};

}  // namespace

std::shared_ptr<Model> MakeTransformer(const ModelOptions& options) {
  return std::make_shared<Transformer>(options.architecture, options.context, options.classes);
}

}  // namespace cddp
