#include "collective/shards.h"

#include <algorithm>
#include <numeric>

namespace cddp {
namespace {

// FNV-1a: the same on every machine.
uint32_t HashOf(const std::string& name) {
  uint32_t hash = 2166136261u;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

}  // namespace

Shards::Shards(const Bucket& bucket, int world_size)
    : world_size_(static_cast<size_t>(world_size)),
      parameters_(bucket.parameters.begin(), bucket.parameters.end()),
      layout_(world_size_) {
  for (const BucketParameter& parameter : parameters_) {
    const auto ranks = static_cast<uint32_t>(world_size_);
    hashes_.push_back(HashOf(parameter.name));
    const uint32_t first = hashes_.back() % ranks;
    first_owner_.push_back(first);
    const uint32_t blocks = parameter.count / kOwnerBlock + (parameter.count % kOwnerBlock != 0);
    for (uint32_t owner = 0; owner < ranks; ++owner) {
      // Of `blocks` blocks, those whose number is (owner - first) modulo the ranks.
      const uint32_t turn = (owner + ranks - first) % ranks;
      const uint32_t own = blocks > turn ? (blocks - turn - 1) / ranks + 1 : 0;
      uint64_t count = uint64_t{own} * kOwnerBlock;
      const bool has_last = own > 0 && turn + (own - 1) * ranks == blocks - 1;
      if (has_last) count -= uint64_t{blocks} * kOwnerBlock - parameter.count;
      std::vector<BucketParameter>& layout = layout_[owner];
      const uint32_t offset = layout.empty() ? 0 : layout.back().offset + layout.back().count;
      layout.push_back({parameter.name, offset, static_cast<uint32_t>(count)});
    }
  }
}

bool Shards::IsOf(const Bucket& bucket) const {
  return std::ranges::equal(parameters_, bucket.parameters);
}

std::span<const BucketParameter> Shards::Layout(int owner) const {
  return layout_[static_cast<size_t>(owner)];
}

uint32_t Shards::elements(int owner) const {
  const auto layout = Layout(owner);
  return layout.empty() ? 0 : layout.back().offset + layout.back().count;
}

// Calls visit(parameter, owner, begin, end, shift) for each stretch [begin, end) of
// `indices`, which ascend in the bucket, that lies in one block; an index plus `shift`
// (modulo 2^32) is its place in the owner's shard.
template <typename Visit>
void Shards::ForStretches(std::span<const uint32_t> indices, Visit visit) const {
  const auto ranks = static_cast<uint32_t>(world_size_);
  size_t parameter = 0;
  for (size_t begin = 0; begin < indices.size();) {
    while (indices[begin] >= parameters_[parameter].offset + parameters_[parameter].count) {
      ++parameter;
    }
    const BucketParameter& in = parameters_[parameter];
    const uint32_t block = (indices[begin] - in.offset) / kOwnerBlock;
    const uint32_t first = in.offset + block * kOwnerBlock;
    const uint32_t behind = first + std::min(kOwnerBlock, in.count - block * kOwnerBlock);
    const size_t owner = (first_owner_[parameter] + block) % ranks;
    size_t end = begin + 1;
    while (end < indices.size() && indices[end] < behind) ++end;
    const uint32_t place = layout_[owner][parameter].offset + block / ranks * kOwnerBlock;
    visit(parameter, owner, begin, end, place - first);
    begin = end;
  }
}

void Shards::Deal(const Selection& entries, std::vector<Selection>* parts,
                  std::vector<std::vector<size_t>>* run_ends) const {
  parts->resize(world_size_);
  for (Selection& part : *parts) part.Clear();
  run_ends->assign(world_size_, std::vector<size_t>(parameters_.size(), 0));
  ForStretches(entries.indices, [&](size_t parameter, size_t owner, size_t begin, size_t end,
                                    uint32_t shift) {
    Selection& part = (*parts)[owner];
    const size_t at = part.size();
    part.indices.resize(at + end - begin);
    for (size_t i = begin; i < end; ++i) part.indices[at + i - begin] = entries.indices[i] + shift;
    part.values.insert(part.values.end(), entries.values.begin() + static_cast<ptrdiff_t>(begin),
                       entries.values.begin() + static_cast<ptrdiff_t>(end));
    (*run_ends)[owner][parameter] = part.size();
  });
  // A parameter without entries ends where the one before does.
  for (std::vector<size_t>& ends : *run_ends) {
    std::inclusive_scan(ends.begin(), ends.end(), ends.begin(),
                        [](size_t a, size_t b) { return std::max(a, b); });
  }
}

void Shards::Collect(const std::vector<Selection>& parts, Selection* entries) const {
  std::vector<size_t> next(world_size_, 0);
  ForStretches(entries->indices, [&](size_t, size_t owner, size_t begin, size_t end, uint32_t) {
    std::copy_n(parts[owner].values.begin() + static_cast<ptrdiff_t>(next[owner]), end - begin,
                entries->values.begin() + static_cast<ptrdiff_t>(begin));
    next[owner] += end - begin;
  });
}

void Shards::ToBucket(int owner, std::span<uint32_t> indices) const {
  const auto ranks = static_cast<uint32_t>(world_size_);
  const auto layout = Layout(owner);
  size_t parameter = 0;
  for (size_t i = 0; i < indices.size();) {
    while (indices[i] >= layout[parameter].offset + layout[parameter].count) ++parameter;
    // The next entries up to the end of their block, whose turn it is of the owner's.
    const uint32_t turn = (indices[i] - layout[parameter].offset) / kOwnerBlock;
    const uint32_t left = layout[parameter].count - turn * kOwnerBlock;
    const uint32_t behind =
        layout[parameter].offset + turn * kOwnerBlock + std::min(kOwnerBlock, left);
    const uint32_t first_turn =
        (static_cast<uint32_t>(owner) + ranks - first_owner_[parameter]) % ranks;
    const uint32_t block = turn * ranks + first_turn;
    const uint32_t shift = parameters_[parameter].offset + block * kOwnerBlock -
                           (layout[parameter].offset + turn * kOwnerBlock);
    for (; i < indices.size() && indices[i] < behind; ++i) indices[i] += shift;
  }
}

uint32_t Shards::Draw(size_t parameter, uint64_t step) const {
  constexpr uint32_t kGoldenRatio = 0x9e3779b9;  // its fraction, of 2^32
  return hashes_[parameter] + static_cast<uint32_t>(step) * kGoldenRatio;
}

std::vector<float> Shards::Spread(int owner, size_t parameter, std::span<const float> kept) const {
  const BucketParameter& in = parameters_[parameter];
  std::vector<uint32_t> indices(kept.size());
  std::iota(indices.begin(), indices.end(), Layout(owner)[parameter].offset);
  ToBucket(owner, indices);
  std::vector<float> spread(in.count, 0.0f);
  for (size_t i = 0; i < kept.size(); ++i) spread[indices[i] - in.offset] = kept[i];
  return spread;
}

std::vector<size_t> OwnerShares(size_t budget, std::span<const uint32_t> elements, uint32_t draw) {
  const auto all = std::accumulate(elements.begin(), elements.end(), uint64_t{0});
  std::vector<size_t> shares(elements.size(), 0);
  if (all == 0) return shares;
  budget = std::min<size_t>(budget, all);
  // Owner o gets the whole numbers that the sum of the exact shares up to its own passes,
  // when it begins at a fraction below 1 that the draw says.
  const uint64_t fraction = uint64_t{draw} * all >> 32;  // times `all`
  uint64_t owned = 0;
  size_t dealt = 0;
  for (size_t o = 0; o < elements.size(); ++o) {
    owned += elements[o];
    const uint64_t exact = uint64_t{budget} * owned;  // times `all`
    const size_t passed = exact / all + (exact % all + fraction >= all);
    shares[o] = passed - dealt;
    dealt = passed;
  }
  return shares;
}

}  // namespace cddp
