// Stand-ins for Gloo's headers, which PyTorch's wheels (2.11) do not ship though their
// libtorch holds a Gloo and their c10d/ProcessGroupGloo.hpp includes them. That header
// needs no more of Gloo than is declared below here; this project makes none of these
// objects and calls none: it hands pointers from libtorch to libtorch.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  Context() = delete;
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo
