// Every file of tests/corrupt, through what the fuzz targets do with it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.h"

namespace cddp {
namespace {

size_t ForEachFile(const std::string& folder,
                   const std::function<void(std::span<const uint8_t>)>& use) {
  size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(CDDP_SOURCE "/tests/corrupt/" + folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(in), {});
    const std::vector<uint8_t> bytes(content.begin(), content.end());
    use(bytes);
    ++files;
  }
  return files;
}

TEST(CorruptCorpus, Frames) { EXPECT_GE(ForEachFile("frame", FuzzFrame), 90u); }

TEST(CorruptCorpus, Indices) {
  for (const IndexCodec* codec :
       {&Raw32Codec(), &RiceCodec(), &BitmapCodec(), &RiceAbsentCodec(), &RiceBlocksCodec()}) {
    const auto use = [&](std::span<const uint8_t> bytes) { FuzzIndices(*codec, bytes); };
    EXPECT_GE(ForEachFile(std::string(codec->name()), use), 6u) << codec->name();
  }
}

}  // namespace
}  // namespace cddp
