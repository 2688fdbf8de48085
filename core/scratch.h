// Scratch memory: an array that is not initialised and keeps its memory, not its
// content, as it grows.
#pragma once

#include <cstddef>
#include <memory>

namespace cddp {

template <typename T>
class Scratch {
 public:
  void Make(size_t size) {
    if (size <= size_) return;
    data_.reset();  // first: both together would be too much
    size_ = 0;
    data_ = std::make_unique_for_overwrite<T[]>(size);
    size_ = size;
  }
  T* data() const { return data_.get(); }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_ = 0;
};

}  // namespace cddp
