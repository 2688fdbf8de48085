// What others do to find the largest entries of a gradient.
//
// Thread safety: none; libtorch uses the threads that at::set_num_threads says.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace cddp {

// at::topk of the magnitudes, unsorted, and the values gathered: the least that a
// selection with libtorch takes, without any memory.
class TorchTopK {
 public:
  explicit TorchTopK(size_t k) : k_(k) {}
  void Run(std::span<const float> gradient) const;

 private:
  size_t k_;
};

// The same on CUDA device `device`, of values in its memory; does not wait for it.
void TopKOnCuda(int device, const float* values, uint32_t elements, uint32_t k);

// The whole decompress-style pipeline, as published implementations of compressed
// DDP have it: add the residual, flatten, magnitudes, topk, gather, a dense tensor
// of zeros, scatter into it, residual = accumulated - sparse. Keeps a residual of
// its own.
class DecompressPipeline {
 public:
  DecompressPipeline(size_t elements, size_t k);
  ~DecompressPipeline();
  void Run(std::span<const float> gradient);

 private:
  struct State;
  size_t k_;
  std::unique_ptr<State> state_;
};

// Copies the magnitudes and partitions them by std::nth_element: finds only the
// threshold. One thread.
class NthElement {
 public:
  NthElement(size_t elements, size_t k) : k_(k), magnitudes_(elements) {}
  void Run(std::span<const float> gradient);

 private:
  size_t k_;
  std::vector<float> magnitudes_;
};

// Threads of libtorch's own parallel loops from now on.
void SetTorchThreads(int threads);

}  // namespace cddp
