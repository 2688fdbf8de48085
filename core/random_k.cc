#include <xxhash.h>

#include <string>

#include "cddp/selection.h"
#include "core/split_mix.h"

namespace cddp {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // Uniform in [0, bound), by the high half of a product (Lemire 2019, without the
  // rejection: the bias is below bound / 2^64).
  uint64_t Below(uint64_t bound) {
    state_ += kSplitMixGamma;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(SplitMix64(state_)) * bound) >>
                                 64);
  }

 private:
  uint64_t state_;
};

class RandomKSelector final : public Selector {
 public:
  explicit RandomKSelector(uint64_t seed) : seed_(seed) {}

  std::string_view name() const override { return "randomk"; }

  void Select(std::string_view parameter, Accumulation& accumulation, size_t k, uint32_t base,
              Selection* out) override {
    ++calls_;
    const size_t n = accumulation.Values().size();
    k = std::min(k, n);
    const uint64_t draw = draws_[std::string(parameter)]++;
    Random random(XXH3_64bits_withSeed(parameter.data(), parameter.size(), seed_) ^
                  XXH3_64bits(&draw, sizeof(draw)));
    // Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): in index order.
    indices_.clear();
    for (size_t i = 0; indices_.size() < k; ++i) {
      if (random.Below(n - i) < k - indices_.size()) indices_.push_back(static_cast<uint32_t>(i));
    }
    Take(accumulation, indices_, base, out);
  }
  using Selector::Select;

  State Save() const override { return draws_; }
  void Load(const State& state) override { draws_ = state; }

 private:
  const uint64_t seed_;
  State draws_;  // by parameter
  std::vector<uint32_t> indices_;
};

}  // namespace

std::unique_ptr<Selector> MakeRandomKSelector(uint64_t seed) {
  return std::make_unique<RandomKSelector>(seed);
}

}  // namespace cddp
