#include "trainer/plots/contact_sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace cddp {
namespace {

constexpr size_t kColumns = 5;

// Red, green and blue of each pixel, row by row; all three the same of a grey image.
std::string Pixels(const Batch& batch, uint32_t sample, const SampleFormat& format,
                   const DatasetInfo& info) {
  const size_t pixels = size_t{format.rows} * format.cols;
  const float* image = batch.images.data() + sample * pixels * format.channels;
  std::string bytes;
  for (size_t pixel = 0; pixel < pixels; ++pixel) {
    for (size_t color = 0; color < 3; ++color) {
      const size_t channel = std::min<size_t>(color, format.channels - 1);
      const size_t at = format.layout == ImageLayout::kChannelsLast
                            ? pixel * format.channels + channel
                            : channel * pixels + pixel;
      const float value = image[at] * info.std[channel] + info.mean[channel];
      bytes += static_cast<char>(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
    }
  }
  return bytes;
}

std::string Script(const nlohmann::json& worst, const SampleFormat& format) {
  const size_t rows = (worst.size() + kColumns - 1) / kColumns;
  const size_t image_bytes = size_t{format.rows} * format.cols * 3;
  std::string script = fmt::format(
      "set terminal pngcairo size 1500,{} font 'sans,17'\n"
      "set output 'worst.png'\n"
      "set multiplot layout {},{} title 'Most wrong: true class, taken for, and the probability "
      "given to the truth' font 'sans,20'\n"
      "unset key\nunset tics\nset border lc rgb '#999999'\nset size ratio -1\n"
      "set autoscale noextend\n",
      90 + 350 * rows, rows, kColumns);
  for (size_t i = 0; i < worst.size(); ++i) {
    const nlohmann::json& image = worst[i];
    script += fmt::format(
        "set title {}.\"\\n\".{} noenhanced offset 0,-0.4\n"
        "plot 'worst.dat' binary skip={} array=({},{}) flipy "
        "format='%uchar%uchar%uchar' using 1:2:3 with rgbimage\n",
        Quoted(image["true"].get<std::string>()),
        Quoted(fmt::format("taken for {} ({:.2g})", image["predicted"].get<std::string>(),
                           image["probability"].get<double>())),
        i * image_bytes, format.cols, format.rows);
  }
  return script + "unset multiplot\n";
}

}  // namespace

Picture ContactSheet(const nlohmann::json& worst, const Samples& samples, const DatasetInfo& info) {
  std::vector<int64_t> numbers;
  for (const nlohmann::json& image : worst) numbers.push_back(image["index"]);
  Batch batch;
  samples.Make(numbers, /*epoch=*/0, &batch);
  std::string data;
  for (uint32_t i = 0; i < batch.samples; ++i) data += Pixels(batch, i, samples.format(), info);
  return {.name = "worst", .data = data, .script = Script(worst, samples.format())};
}

}  // namespace cddp
