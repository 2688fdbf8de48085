// Strict reader of the binary version of CIFAR-10 (Krizhevsky 2009, Learning multiple
// layers of features from tiny images): per image a label byte from 0 to 9, then 1024
// bytes each of red, green and blue, row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cddp {

inline constexpr size_t kCifar10Side = 32;
inline constexpr size_t kCifar10Channels = 3;
inline constexpr size_t kCifar10Pixels = kCifar10Side * kCifar10Side;
inline constexpr size_t kCifar10ImageBytes = kCifar10Channels * kCifar10Pixels;
inline constexpr size_t kCifar10RecordBytes = 1 + kCifar10ImageBytes;
inline constexpr int kCifar10Classes = 10;

// Appends the images (3 x 32 x 32 bytes each) and labels of a file; `origin` names it.
// Throws StatusError(kCorrupt), naming the image or the size, if it holds anything but
// one whole record or more, and appends nothing then. Thread safety: any thread.
void AppendCifar10(std::span<const uint8_t> bytes, const std::string& origin,
                   std::vector<uint8_t>* pixels, std::vector<uint8_t>* labels);

}  // namespace cddp
