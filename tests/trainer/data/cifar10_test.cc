// CIFAR-10: its binary files, and their reconstruction from a package of pictures.
#include "trainer/data/cifar10.h"

#include <gtest/gtest.h>
#include <spng.h>

#include <string>
#include <vector>

#include "cddp/status.h"
#include "tests/trainer/data/data_fixtures.h"
#include "trainer/data/cifar10_png.h"
#include "trainer/data/dataset.h"
#include "trainer/data/fetch.h"
#include "trainer/data/sources.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

// A file of images with these labels; the pixels depend on `salt`.
Bytes Cifar10File(const Bytes& labels, uint8_t salt = 0) {
  Bytes bytes;
  for (const uint8_t label : labels) {
    bytes.push_back(label);
    for (size_t p = 0; p < kCifar10ImageBytes; ++p) {
      bytes.push_back(static_cast<uint8_t>(p * 7 + bytes.size() / 5 + salt));
    }
  }
  return bytes;
}

TEST(Cifar10Test, ReadsLabelsAndPlanes) {
  const Bytes bytes = Cifar10File({3, 9});
  Bytes pixels = {1}, labels = {2};
  AppendCifar10(bytes, "f", &pixels, &labels);
  EXPECT_EQ(labels, (Bytes{2, 3, 9}));
  ASSERT_EQ(pixels.size(), 1 + 2 * kCifar10ImageBytes);
  EXPECT_EQ(Bytes(pixels.begin() + 1, pixels.begin() + 1 + kCifar10ImageBytes),
            Bytes(bytes.begin() + 1, bytes.begin() + kCifar10RecordBytes));
}

TEST(Cifar10Test, BadBytesAreRefusedWithTheirPlace) {
  Bytes pixels, labels;
  const auto append = [&](const Bytes& bytes) {
    return [&pixels, &labels, bytes] { AppendCifar10(bytes, "batch.bin", &pixels, &labels); };
  };
  ExpectRefusal(append(Cifar10File({3, 10})), StatusCode::kCorrupt,
                {"batch.bin", "image 1 (byte 3073) has label 10", "0 to 9"});
  Bytes cut = Cifar10File({3, 4});
  cut.pop_back();
  ExpectRefusal(append(cut), StatusCode::kCorrupt,
                {"batch.bin", "6145 bytes", "1 images", "3072 bytes more"});
  ExpectRefusal(append({}), StatusCode::kCorrupt, {"batch.bin", "0 bytes"});
  EXPECT_TRUE(pixels.empty());
  EXPECT_TRUE(labels.empty());
}

// A catalog entry of two training files and a test file, and their bytes.
struct SmallCifar10 {
  DatasetInfo info;
  std::vector<Bytes> files = {Cifar10File({1, 2, 3}, 10), Cifar10File({4, 5, 0}, 20),
                              Cifar10File({9, 8, 7}, 30)};

  SmallCifar10() {
    info.name = "small";
    info.kind = DatasetKind::kCifar10;
    info.classes = 10;
    info.mean = {0.1f, 0.2f, 0.3f};
    info.std = {0.4f, 0.5f, 0.6f};
    const char* names[] = {"data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"};
    for (size_t i = 0; i < 3; ++i) {
      info.files.push_back({names[i], files[i].size(), Sha256Hex(files[i])});
    }
  }
};

TEST(Cifar10Test, TheLastFileIsTheTestSet) {
  const SmallCifar10 data;
  const TemporaryFolder folder;
  for (size_t i = 0; i < 3; ++i) {
    WriteRaw(folder.path() / "small" / data.info.files[i].name, data.files[i]);
  }
  const ImageSplits splits = LoadImages(data.info, folder.path());
  EXPECT_EQ(splits.train.labels, (Bytes{1, 2, 3, 4, 5, 0}));
  EXPECT_EQ(splits.test.labels, (Bytes{9, 8, 7}));
  EXPECT_EQ(splits.train.count, 6u);
  EXPECT_EQ(splits.train.channels, 3u);
  EXPECT_EQ(splits.train.rows, 32u);
  EXPECT_EQ(splits.train.pixels.size(), 6 * kCifar10ImageBytes);
  EXPECT_EQ(splits.train.pixels[3 * kCifar10ImageBytes], data.files[1][1]);
  EXPECT_EQ(splits.train.std, data.info.std);
}

TEST(Cifar10Test, AWrongLabelInAVerifiedFileIsNamed) {
  SmallCifar10 data;
  const TemporaryFolder folder;
  data.files[1][kCifar10RecordBytes] = 77;
  data.info.files[1].sha256 = Sha256Hex(data.files[1]);
  for (size_t i = 0; i < 3; ++i) {
    WriteRaw(folder.path() / "small" / data.info.files[i].name, data.files[i]);
  }
  ExpectRefusal([&] { LoadImages(data.info, folder.path()); }, StatusCode::kCorrupt,
                {"small/data_batch_2.bin", "image 1 (byte 3073) has label 77"});
}

// The bytes as a picture of one image a row.
Bytes Png(const Bytes& bytes, size_t width = kCifar10Pixels,
          uint8_t color_type = SPNG_COLOR_TYPE_TRUECOLOR) {
  const size_t images = bytes.size() / kCifar10RecordBytes;
  Bytes pixels;
  for (size_t i = 0; i < images; ++i) {
    for (size_t p = 0; p < kCifar10Pixels; ++p) {
      for (size_t c = 0; c < kCifar10Channels; ++c) {
        pixels.push_back(bytes[i * kCifar10RecordBytes + 1 + c * kCifar10Pixels + p]);
      }
    }
  }
  spng_ctx* context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr header{};
  header.width = static_cast<uint32_t>(width);
  header.height = static_cast<uint32_t>(images * kCifar10Pixels / width);
  header.bit_depth = 8;
  header.color_type = color_type;
  EXPECT_EQ(spng_set_ihdr(context, &header), 0);
  const size_t channels = color_type == SPNG_COLOR_TYPE_TRUECOLOR ? 3 : 1;
  EXPECT_EQ(spng_encode_image(context, pixels.data(), pixels.size() / 3 * channels, SPNG_FMT_PNG,
                              SPNG_ENCODE_FINALIZE),
            0);
  size_t size = 0;
  int error = 0;
  auto* png = static_cast<uint8_t*>(spng_get_png_buffer(context, &size, &error));
  EXPECT_EQ(error, 0);
  Bytes result(png, png + size);
  std::free(png);
  spng_ctx_free(context);
  return result;
}

Bytes Characters(const std::string& text) { return {text.begin(), text.end()}; }

class Cifar10PngTest : public testing::Test {
 protected:
  Cifar10PngTest() { WritePackage(at_); }

  void WritePackage(const fs::path& at) {
    WriteRaw(at / "data_batch_1.png", Png(data_.files[0]));
    WriteRaw(at / "data_batch_2.png", Png(data_.files[1]));
    WriteRaw(at / "test_batch.png", Png(data_.files[2]));
    WriteRaw(at / "train_lables.json", Characters("[1,2,3,4,5,0]"));
    WriteRaw(at / "test_lables.json", Characters("[9,8,7]"));
  }

  const SmallCifar10 data_;
  const TemporaryFolder folder_;
  const fs::path at_ = folder_.path() / "p";
};

TEST_F(Cifar10PngTest, MakesTheBinaryFilesAnew) {
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ReadCifar10Png(at_, data_.info.files[i].name), data_.files[i]) << i;
  }
}

TEST_F(Cifar10PngTest, WhatIsNotAsItShouldBeIsNamed) {
  const auto read = [&](const char* name) { return [this, name] { ReadCifar10Png(at_, name); }; };
  ExpectRefusal(read("data_batch_3.bin"), StatusCode::kUnavailable, {"data_batch_3.png"});
  ExpectRefusal(read("batches.meta.txt"), StatusCode::kUnavailable, {"batches.meta.txt"});
  WriteRaw(at_ / "train_lables.json", Characters("[1,2,3,4,5]"));
  ExpectRefusal(read("data_batch_2.bin"), StatusCode::kCorrupt,
                {"train_lables.json", "5 labels are too few for batch 2 of 3 images"});
  WriteRaw(at_ / "train_lables.json", Characters("[1,2,"));
  ExpectRefusal(read("data_batch_1.bin"), StatusCode::kCorrupt, {"train_lables.json", "array"});
  WriteRaw(at_ / "test_lables.json", Characters("{\"a\": 3}"));
  ExpectRefusal(read("test_batch.bin"), StatusCode::kCorrupt, {"test_lables.json", "array"});
  Bytes cut = Png(data_.files[0]);
  cut.resize(cut.size() / 2);
  WriteRaw(at_ / "data_batch_1.png", cut);
  ExpectRefusal(read("data_batch_1.bin"), StatusCode::kCorrupt,
                {"data_batch_1.png", "not a usable PNG"});
  WriteRaw(at_ / "data_batch_1.png", Png(data_.files[0], kCifar10Pixels / 2));
  ExpectRefusal(read("data_batch_1.bin"), StatusCode::kCorrupt,
                {"rows of 1024 pixels", "found 512"});
  WriteRaw(at_ / "data_batch_1.png",
           Png(data_.files[0], kCifar10Pixels, SPNG_COLOR_TYPE_GRAYSCALE));
  ExpectRefusal(read("data_batch_1.bin"), StatusCode::kCorrupt, {"8-bit RGB", "colour type 0"});
  WriteRaw(at_ / "data_batch_1.png", Ramp(100));
  ExpectRefusal(read("data_batch_1.bin"), StatusCode::kCorrupt, {"not a usable PNG"});
}

// npm packs a folder as it downloads a package.
TEST_F(Cifar10PngTest, ComesThroughNpmAndVerifies) {
  const fs::path package = folder_.path() / "package";
  WritePackage(package);
  WriteRaw(package / "package.json",
           Characters("{\"name\": \"@small/pictures\", \"version\": \"1.0.0\"}"));
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<NpmCifar10PngSource>(package.string(), ""));
  EXPECT_EQ(FetchDataset(data_.info, folder_.path() / "data", {}, sources).fetched, 3);
  EXPECT_EQ(LoadImages(data_.info, folder_.path() / "data").test.labels, (Bytes{9, 8, 7}));
}

}  // namespace
}  // namespace cddp
