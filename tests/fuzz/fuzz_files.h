// What the fuzz targets of files do with bytes. Each aborts when something gets through that is
// not as the format wants it, or anything but a StatusError comes out.
#pragma once

#include <cstdint>
#include <span>

namespace cddp {

// What is read is within the bytes, and is the same after it was written and read again.
void FuzzSafetensors(std::span<const uint8_t> bytes);
// As images and as labels.
void FuzzIdx(std::span<const uint8_t> bytes);
void FuzzCifar10(std::span<const uint8_t> bytes);
// The file of --config.
void FuzzConfig(std::span<const uint8_t> bytes);
// JSON, as the file of --plan and as the two texts of a checkpoint.
void FuzzJson(std::span<const uint8_t> bytes);

}  // namespace cddp
