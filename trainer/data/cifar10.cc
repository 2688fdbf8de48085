#include "trainer/data/cifar10.h"

#include <fmt/format.h>

#include "cddp/status.h"

namespace cddp {

void AppendCifar10(std::span<const uint8_t> bytes, const std::string& origin,
                   std::vector<uint8_t>* pixels, std::vector<uint8_t>* labels) {
  const size_t count = bytes.size() / kCifar10RecordBytes;
  if (const size_t rest = bytes.size() % kCifar10RecordBytes; count == 0 || rest != 0) {
    throw StatusError(StatusCode::kCorrupt,
                      fmt::format("{}: not a CIFAR-10 file: {} bytes are {} images of {} bytes and "
                                  "{} bytes more",
                                  origin, bytes.size(), count, kCifar10RecordBytes, rest));
  }
  for (size_t i = 0; i < count; ++i) {
    if (const uint8_t label = bytes[i * kCifar10RecordBytes]; label >= kCifar10Classes) {
      throw StatusError(
          StatusCode::kCorrupt,
          fmt::format("{}: image {} (byte {}) has label {}; expected labels 0 to {}", origin, i,
                      i * kCifar10RecordBytes, label, kCifar10Classes - 1));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const auto record = bytes.subspan(i * kCifar10RecordBytes, kCifar10RecordBytes);
    labels->push_back(record[0]);
    pixels->insert(pixels->end(), record.begin() + 1, record.end());
  }
}

}  // namespace cddp
