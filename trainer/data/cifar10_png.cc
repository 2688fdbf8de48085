#include "trainer/data/cifar10_png.h"

#include <fmt/format.h>
#include <spng.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cddp/status.h"
#include "trainer/data/cifar10.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void ThrowCorruptCifar10(const fs::path& file, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", file.string(), why));
}

// The picture's pixels, red, green, blue; kCifar10Pixels of them in each row.
std::vector<uint8_t> DecodePng(const fs::path& file) {
  const std::vector<uint8_t> png = ReadFileBytes(file, kMaxCifar10PngBytes);
  const std::unique_ptr<spng_ctx, decltype(&spng_ctx_free)> context(spng_ctx_new(0),
                                                                    &spng_ctx_free);
  const auto require = [&](int error) {
    if (error == 0) return;
    ThrowCorruptCifar10(file, fmt::format("not a usable PNG: {}", spng_strerror(error)));
  };
  require(context ? 0 : SPNG_EMEM);
  require(spng_set_image_limits(context.get(), kCifar10Pixels, kMaxCifar10PngImages));
  require(spng_set_png_buffer(context.get(), png.data(), png.size()));
  spng_ihdr header{};
  require(spng_get_ihdr(context.get(), &header));
  if (header.width != kCifar10Pixels || header.bit_depth != 8 ||
      header.color_type != SPNG_COLOR_TYPE_TRUECOLOR) {
    ThrowCorruptCifar10(
        file, fmt::format("expected rows of {} pixels, 8-bit RGB; found {} pixels, {} "
                          "bits, colour type {}",
                          kCifar10Pixels, header.width, header.bit_depth, header.color_type));
  }
  std::vector<uint8_t> pixels(size_t{header.height} * kCifar10ImageBytes);
  require(spng_decode_image(context.get(), pixels.data(), pixels.size(), SPNG_FMT_PNG, 0));
  return pixels;
}

std::vector<uint8_t> ReadLabels(const fs::path& file) {
  const std::vector<uint8_t> text = ReadFileBytes(file, uint64_t{1} << 20);
  try {
    return nlohmann::json::parse(text).get<std::vector<uint8_t>>();
  } catch (const nlohmann::json::exception& error) {
    ThrowCorruptCifar10(file, fmt::format("expected an array of labels: {}", error.what()));
  }
}

// Where the labels of `name` are: data_batch_1 is the first of its file.
struct LabelPlace {
  std::string file;
  size_t batch = 0;
};

LabelPlace LabelsOf(const std::string& name) {
  constexpr std::string_view kTrain = "data_batch_";
  if (name == "test_batch.bin") return {"test_lables.json", 0};
  if (name.starts_with(kTrain) && name.ends_with(".bin") && name[kTrain.size()] >= '1' &&
      name[kTrain.size()] <= '9') {
    return {"train_lables.json", static_cast<size_t>(name[kTrain.size()] - '1')};
  }
  throw StatusError(StatusCode::kUnavailable, fmt::format("there is no {} in it", name));
}

}  // namespace

std::vector<uint8_t> ReadCifar10Png(const fs::path& folder, const std::string& name) {
  const LabelPlace place = LabelsOf(name);
  const fs::path picture = folder / fs::path(name).replace_extension(".png");
  const std::vector<uint8_t> pixels = DecodePng(picture);
  const std::vector<uint8_t> labels = ReadLabels(folder / place.file);
  const size_t count = pixels.size() / kCifar10ImageBytes;
  if (labels.size() < (place.batch + 1) * count) {
    ThrowCorruptCifar10(folder / place.file,
                        fmt::format("{} labels are too few for batch {} of {} images",
                                    labels.size(), place.batch + 1, count));
  }
  std::vector<uint8_t> bytes(count * kCifar10RecordBytes);
  for (size_t i = 0; i < count; ++i) {
    uint8_t* record = bytes.data() + i * kCifar10RecordBytes;
    const uint8_t* image = pixels.data() + i * kCifar10ImageBytes;
    *record++ = labels[place.batch * count + i];
    for (size_t p = 0; p < kCifar10Pixels; ++p) {
      for (size_t c = 0; c < kCifar10Channels; ++c) {
        record[c * kCifar10Pixels + p] = image[p * kCifar10Channels + c];
      }
    }
  }
  return bytes;
}

}  // namespace cddp
