#include "bench/distributions.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "core/split_mix.h"

namespace cddp {
namespace {

constexpr size_t kRun = 4096;  // elements that are neighbours in the pool too

uint64_t Mix(uint64_t x) { return SplitMix64(x + kSplitMixGamma); }

class Pool {
 public:
  Pool(uint64_t seed, const std::function<float(std::mt19937_64&)>& draw) : values_(kSize + kRun) {
    std::mt19937_64 random(seed);
    for (float& value : values_) value = draw(random);
  }

  // kRun values for a hash.
  const float* At(uint64_t hash) const { return values_.data() + hash % kSize; }

 private:
  static constexpr size_t kSize = size_t{1} << 20;
  std::vector<float> values_;
};

float Normal(std::mt19937_64& random) { return std::normal_distribution<float>()(random); }

float RootOfExponential(std::mt19937_64& random) {
  return std::sqrt(std::exponential_distribution<float>()(random));
}

class DriftingGradients : public GradientSource {
 public:
  DriftingGradients(uint64_t seed, bool scaled) : seed_(seed), noise_(Mix(seed), Normal) {
    if (scaled) scales_ = std::make_unique<Pool>(Mix(seed + 1), RootOfExponential);
  }

  void Next(std::span<float> gradient) override {
    if (step_ == 0) std::ranges::fill(gradient, 0.0f);
    const float keep = step_ == 0 ? 0.0f : 0.9f;
    const float add = step_ == 0 ? 1.0f : 0.436f;
    const std::vector<float> ones(kRun, 1.0f);
    for (size_t begin = 0; begin < gradient.size(); begin += kRun) {
      const auto run = gradient.subspan(begin, std::min(kRun, gradient.size() - begin));
      const uint64_t hash = Mix(seed_ ^ Mix(begin ^ Mix(step_)));
      const float* noise = noise_.At(hash >> 1);
      const float* scale = scales_ ? scales_->At(Mix(seed_ ^ begin)) : ones.data();
      const float signed_add = (hash & 1) != 0 ? -add : add;
      for (size_t i = 0; i < run.size(); ++i) {
        run[i] = keep * run[i] + signed_add * noise[i] * scale[i];
      }
    }
    ++step_;
  }

 private:
  const uint64_t seed_;
  const Pool noise_;
  std::unique_ptr<Pool> scales_;
  uint64_t step_ = 0;
};

class RecordedGradients : public GradientSource {
 public:
  explicit RecordedGradients(const Recording* recording) : recording_(*recording) {}

  void Next(std::span<float> gradient) override {
    size_t filled = 0;
    for (size_t tile = step_; filled < gradient.size(); ++tile) {
      for (const RecordedParameter& parameter : recording_[tile % recording_.size()].parameters) {
        const size_t count = std::min(parameter.gradient.size(), gradient.size() - filled);
        std::copy_n(parameter.gradient.begin(), count, gradient.begin() + filled);
        filled += count;
      }
    }
    ++step_;
  }

 private:
  const Recording& recording_;
  size_t step_ = 0;
};

class SteadyGradients : public GradientSource {
 public:
  // value(i, n) of element i of n.
  explicit SteadyGradients(std::function<float(size_t, size_t)> value) : value_(std::move(value)) {}

  void Next(std::span<float> gradient) override {
    if (filled_) return;
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = value_(i, gradient.size());
    filled_ = true;
  }

 private:
  const std::function<float(size_t, size_t)> value_;
  bool filled_ = false;
};

std::unique_ptr<GradientSource> Steady(std::function<float(size_t, size_t)> value) {
  return std::make_unique<SteadyGradients>(std::move(value));
}

}  // namespace

std::vector<std::string> DistributionNames() {
  return {"normal", "laplace", "real", "equal", "few", "sorted", "spike"};
}

std::unique_ptr<GradientSource> MakeGradientSource(const std::string& distribution, uint64_t seed,
                                                   const Recording* recording) {
  if (distribution == "real") return std::make_unique<RecordedGradients>(recording);
  if (distribution == "equal") return Steady([](size_t, size_t) { return 1.0f; });
  if (distribution == "few") {
    return Steady([seed](size_t i, size_t) {
      const uint64_t hash = Mix(seed ^ Mix(i));
      const float magnitude = std::ldexp(1.0f, -static_cast<int>(hash & 3));
      return (hash & 4) != 0 ? -magnitude : magnitude;
    });
  }
  if (distribution == "sorted") {
    return Steady([](size_t i, size_t n) {
      return static_cast<float>(static_cast<double>(i) / static_cast<double>(n));
    });
  }
  if (distribution == "spike") {
    return Steady([](size_t i, size_t n) { return i == n / 3 ? 1.0f : 0.0f; });
  }
  return std::make_unique<DriftingGradients>(seed, distribution == "laplace");
}

}  // namespace cddp
