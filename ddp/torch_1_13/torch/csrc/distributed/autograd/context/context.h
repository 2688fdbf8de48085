// Stand-in for a header that Debian 12's libtorch-dev (1.13.1) does not ship.
// c10d/reducer.hpp needs no more of it than the type GradCallback and pointers to
// the class, whose layout does not depend on what they point to.
#pragma once

#include <functional>
#include <memory>

#include <ATen/core/Tensor.h>

namespace torch::distributed::autograd {

class DistAutogradContext {  // never made by this project
 public:
  using GradCallback = std::function<bool(at::Tensor&)>;
  DistAutogradContext() = delete;
};
using ContextPtr = std::shared_ptr<DistAutogradContext>;

}  // namespace torch::distributed::autograd
