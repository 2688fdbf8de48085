// Streams of bits, the lowest of a byte first.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cddp {

static_assert(std::endian::native == std::endian::little, "words are copied in host order");

// Writes whole words: up to 8 bytes behind the last one that counts.
class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : begin_(out), out_(out) {}

  // Appends the lowest `count` (<= 56) bits of `bits`, the others being zero.
  void Put(uint64_t bits, unsigned count) {
    word_ |= bits << filled_;
    filled_ += count;
    std::memcpy(out_, &word_, sizeof(word_));
    out_ += filled_ / 8;
    word_ >>= filled_ & ~7u;
    filled_ %= 8;
  }

  // Bytes so far; the bits that are missing in the last one are zero.
  size_t bytes() const { return static_cast<size_t>(out_ - begin_) + (filled_ > 0); }

 private:
  std::byte* begin_;
  std::byte* out_;
  uint64_t word_ = 0;
  unsigned filled_ = 0;
};

// At least 57 bits from `bit` on. Requires 8 readable bytes from its byte on.
inline uint64_t LoadBits(const std::byte* bytes, uint64_t bit) {
  uint64_t word;
  std::memcpy(&word, bytes + bit / 8, sizeof(word));
  return word >> (bit % 8);
}

// The same with zeros behind the end.
inline uint64_t LoadBitsChecked(std::span<const std::byte> bytes, uint64_t bit) {
  uint64_t word = 0;
  if (bit / 8 < bytes.size()) {
    const size_t left = bytes.size() - static_cast<size_t>(bit / 8);
    std::memcpy(&word, bytes.data() + bit / 8, left < sizeof(word) ? left : sizeof(word));
  }
  return word >> (bit % 8);
}

}  // namespace cddp
