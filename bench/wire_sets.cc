#include "bench/wire_sets.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "cddp/compressor.h"
#include "cddp/frame.h"

namespace cddp {
namespace {

constexpr uint32_t kParameterElements = 1 << 20;  // elements
constexpr uint32_t kPatch = 64;

using Random = std::mt19937_64;

double Chance(Random& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

std::vector<uint32_t> UniformIndices(uint32_t elements, size_t wanted, Random& random) {
  std::vector<uint32_t> indices;
  indices.reserve(wanted);
  for (uint32_t i = 0; i < elements && indices.size() < wanted; ++i) {
    const auto left = static_cast<double>(wanted - indices.size());
    if (Chance(random) * (elements - i) < left) indices.push_back(i);
  }
  return indices;
}

std::vector<uint32_t> ClusteredIndices(uint32_t elements, size_t wanted, Random& random) {
  const uint32_t patches = std::max(1u, elements / kPatch);
  const size_t some = std::min<size_t>(patches, wanted / (kPatch / 2) + 1);
  std::vector<uint32_t> indices;
  for (uint32_t patch : UniformIndices(patches, some, random)) {
    const uint32_t begin = patch * kPatch;
    for (uint32_t i = begin; i < std::min(elements, begin + kPatch); ++i) {
      if (indices.size() < wanted && Chance(random) < 0.5) indices.push_back(i);
    }
  }
  if (indices.empty()) indices.push_back(0);
  return indices;
}

WireSet Drawn(const std::string& name, uint32_t elements, double ratio, uint64_t seed) {
  Random random(seed);
  WireSet set{.elements = elements, .selection = {}, .run_ends = {}};
  const size_t wanted = SelectionCount(elements, ratio);
  set.selection.indices = name == "uniform" ? UniformIndices(elements, wanted, random)
                                            : ClusteredIndices(elements, wanted, random);
  // The tail of a normal distribution beyond t: sqrt(t^2 - 2 ln u), nearly.
  const double squared_threshold = -2 * std::log(ratio);
  for (uint32_t index : set.selection.indices) {
    const double u = 1 - Chance(random);
    const double magnitude = std::sqrt(squared_threshold - 2 * std::log(u));
    set.selection.values.push_back(
        static_cast<float>((random() & 1) != 0 ? -magnitude : magnitude));
    set.run_ends.resize(index / kParameterElements + 1, set.selection.size() - 1);
  }
  set.run_ends.push_back(set.selection.size());
  return set;
}

WireSet Recorded(double ratio, const Recording& recording) {
  std::vector<BucketParameter> layout;
  uint32_t elements = 0;
  for (const RecordedParameter& parameter : recording[0].parameters) {
    const auto count = static_cast<uint32_t>(parameter.gradient.size());
    layout.push_back({parameter.name, elements, count});
    elements += count;
  }
  std::unique_ptr<Compressor> compressor;
  ThrowIfError(Compressor::Create({.ratio = ratio}, &compressor));
  std::vector<float> gradient(elements);
  std::vector<std::byte> frame;
  uint64_t step = 0;
  for (const RecordedStep& recorded : recording) {
    for (size_t p = 0; p < layout.size(); ++p) {
      std::ranges::copy(recorded.parameters[p].gradient, gradient.begin() + layout[p].offset);
    }
    ThrowIfError(compressor->Compress(
        {.step = ++step, .index = 0, .values = gradient, .parameters = layout}, 0, &frame));
    compressor->EndStep(true);
  }
  FrameView view;
  WireSet set{.elements = elements, .selection = {}, .run_ends = {}};
  ThrowIfError(
      DecodeFrame(frame, {.step = step, .elements = elements}, elements, &view, &set.selection));
  for (const BucketParameter& parameter : layout) {
    const auto end =
        std::ranges::lower_bound(set.selection.indices, parameter.offset + parameter.count);
    set.run_ends.push_back(static_cast<size_t>(end - set.selection.indices.begin()));
  }
  return set;
}

}  // namespace

std::vector<std::string> WireSetNames() { return {"uniform", "clustered", "real"}; }

WireSet MakeWireSet(const std::string& name, uint32_t elements, double ratio, uint64_t seed,
                    const Recording* recording) {
  return name == "real" ? Recorded(ratio, *recording) : Drawn(name, elements, ratio, seed);
}

}  // namespace cddp
