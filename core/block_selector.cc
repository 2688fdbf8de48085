#include <algorithm>
#include <cmath>

#include "cddp/selection.h"

namespace cddp {
namespace {

class BlockSelector final : public Selector {
 public:
  explicit BlockSelector(size_t block) : block_(std::max<size_t>(block, 1)) {}

  std::string_view name() const override { return "block"; }

  void Select(std::string_view, Accumulation& accumulation, size_t k, uint32_t base,
              Selection* out) override {
    ++calls_;
    const std::span<const float> values = accumulation.Values();
    k = std::min(k, values.size());
    if (k == 0) return;

    blocks_.clear();
    for (size_t begin = 0; begin < values.size(); begin += block_) {
      double squares = 0;
      for (float v : values.subspan(begin, std::min(block_, values.size() - begin))) {
        squares += static_cast<double>(v) * static_cast<double>(v);
      }
      // Infinity for NaN, which cannot be ordered; the step will be void.
      blocks_.push_back({std::isnan(squares) ? INFINITY : squares, begin});
    }
    const auto larger = [](const Block& a, const Block& b) {
      return a.squares != b.squares ? a.squares > b.squares : a.begin < b.begin;
    };
    // The last block of the parameter may be short: one more block makes up for it.
    const size_t enough = std::min(blocks_.size(), (k + block_ - 1) / block_ + 1);
    std::partial_sort(blocks_.begin(), blocks_.begin() + static_cast<ptrdiff_t>(enough),
                      blocks_.end(), larger);
    indices_.clear();
    for (size_t b = 0; indices_.size() < k; ++b) {
      const size_t begin = blocks_[b].begin;
      const size_t end = std::min({begin + block_, values.size(), begin + k - indices_.size()});
      for (size_t i = begin; i < end; ++i) indices_.push_back(static_cast<uint32_t>(i));
    }
    std::ranges::sort(indices_);
    Take(accumulation, indices_, base, out);
  }
  using Selector::Select;

 private:
  struct Block {
    double squares;
    size_t begin;
  };

  const size_t block_;
  std::vector<Block> blocks_;
  std::vector<uint32_t> indices_;
};

}  // namespace

std::unique_ptr<Selector> MakeBlockSelector(size_t block) {
  return std::make_unique<BlockSelector>(block);
}

}  // namespace cddp
