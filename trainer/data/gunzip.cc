#include "trainer/data/gunzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "cddp/status.h"

namespace cddp {
namespace {

// Tells zlib to expect a gzip header around a window of 2^15 bytes.
constexpr int kGzipWindowBits = 16 + MAX_WBITS;
constexpr size_t kFirstBufferBytes = size_t{256} * 1024;

class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, kGzipWindowBits) != Z_OK) {
      throw StatusError(StatusCode::kInternal, "zlib could not start: out of memory");
    }
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

[[noreturn]] void ThrowCorruptGzip(const std::string& origin, const std::string& why) {
  throw StatusError(StatusCode::kCorrupt, fmt::format("{}: not usable as gzip: {}", origin, why));
}

}  // namespace

bool IsGzip(std::span<const uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

std::vector<uint8_t> Gunzip(std::span<const uint8_t> compressed, size_t max_output_bytes,
                            const std::string& origin) {
  constexpr size_t kZlibLimit = std::numeric_limits<uInt>::max();
  if (!IsGzip(compressed)) ThrowCorruptGzip(origin, "the gzip signature is missing");
  if (compressed.size() > kZlibLimit || max_output_bytes >= kZlibLimit) {
    ThrowCorruptGzip(origin, "larger than 4 GiB");
  }

  Inflater inflater;
  z_stream& stream = inflater.stream();
  stream.next_in = const_cast<Bytef*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());

  // One byte of room past the bound tells "exactly the bound" from "more".
  const size_t room = max_output_bytes + 1;
  std::vector<uint8_t> output(std::min(room, kFirstBufferBytes));
  size_t produced = 0;
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    if (produced == output.size()) output.resize(std::min(room, 2 * output.size()));
    stream.next_out = output.data() + produced;
    stream.avail_out = static_cast<uInt>(output.size() - produced);
    result = inflate(&stream, Z_NO_FLUSH);
    produced = output.size() - stream.avail_out;
    if (produced > max_output_bytes) {
      ThrowCorruptGzip(origin, fmt::format("decodes to more than {} bytes", max_output_bytes));
    }
    if (result == Z_BUF_ERROR || (result == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      ThrowCorruptGzip(origin,
                       fmt::format("cut short: ends after {} compressed and {} decoded bytes",
                                   compressed.size(), produced));
    }
    if (result != Z_OK && result != Z_STREAM_END) {
      ThrowCorruptGzip(origin, stream.msg != nullptr ? stream.msg : "zlib refused the bytes");
    }
  }
  if (stream.avail_in != 0) {
    ThrowCorruptGzip(origin,
                     fmt::format("{} bytes follow the end of the gzip data", stream.avail_in));
  }
  output.resize(produced);
  return output;
}

}  // namespace cddp
