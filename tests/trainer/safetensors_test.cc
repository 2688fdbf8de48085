#include "trainer/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

std::vector<uint8_t> BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

// A file of this header, whose length goes before it, and this data.
std::vector<uint8_t> File(const std::string& header, const std::string& data) {
  std::string file;
  for (size_t i = 0; i < 8; ++i) file += static_cast<char>(uint64_t{header.size()} >> (8 * i));
  return BytesOf(file + header + data);
}

std::string ParseRefusal(std::vector<uint8_t> bytes) {
  try {
    Safetensors::Parse(std::move(bytes), "FILE");
  } catch (const StatusError& error) {
    EXPECT_EQ(error.code(), StatusCode::kCorrupt) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("FILE: ")) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "was read";
  return {};
}

std::string RefusalOfHeader(const std::string& header, const std::string& data = "") {
  const std::string refusal = ParseRefusal(File(header, data));
  EXPECT_NE(refusal, "") << header;
  return refusal;
}

void ExpectContains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

float FloatAt(const TensorView& tensor, size_t i) {
  float value;
  std::memcpy(&value, tensor.bytes.data() + i * sizeof(value), sizeof(value));
  return value;
}

// What Python writes with json.dumps and struct.pack, in the order of its dict.
TEST(Safetensors, ReadsWhatPythonWrites) {
  const std::string header =
      R"({"__metadata__": {"format": "pt"}, )"
      R"("weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, )"
      R"("count": {"dtype": "I64", "shape": [], "data_offsets": [24, 32]}, )"
      R"("mask": {"dtype": "U8", "shape": [3], "data_offsets": [32, 35]}, )"
      R"("empty": {"dtype": "F32", "shape": [0, 4], "data_offsets": [35, 35]}, )"
      R"("half": {"dtype": "F16", "shape": [1], "data_offsets": [35, 37]}}       )";
  const std::string data(
      "\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x00\x3f\x00\x00\x80\x40\x00\x00\xa0\x40\x00\x00"
      "\xc0\x40\x07\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x00\x3e",
      37);
  const Safetensors file = Safetensors::Parse(File(header, data), "FILE");
  EXPECT_EQ(file.metadata(), (TensorMetadata{{"format", "pt"}}));
  ASSERT_EQ(file.tensors().size(), 5u);
  const TensorView& weight = file.tensors().at("weight");
  EXPECT_EQ(weight.type, TensorType::kF32);
  EXPECT_EQ(weight.shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(FloatAt(weight, 0), 1.0f);
  EXPECT_EQ(FloatAt(weight, 1), -2.0f);
  EXPECT_EQ(FloatAt(weight, 5), 6.0f);
  const TensorView& count = file.tensors().at("count");
  EXPECT_EQ(count.type, TensorType::kI64);
  EXPECT_TRUE(count.shape.empty());
  EXPECT_EQ(count.bytes[0], 7);
  EXPECT_EQ(file.tensors().at("mask").bytes[2], 3);
  EXPECT_TRUE(file.tensors().at("empty").bytes.empty());
  EXPECT_EQ(file.tensors().at("half").type, TensorType::kF16);
}

// The bytes of the format's own description: tensors in a row, the widest first.
TEST(Safetensors, WritesTheFormatToTheByte) {
  const std::vector<float> values{1.0f, -2.0f};
  const std::vector<uint8_t> mask{9};
  const std::vector<uint8_t> number{1, 0, 0, 0, 0, 0, 0, 0};
  const SafetensorsParts parts =
      LayOutSafetensors({{"a", {.type = TensorType::kU8, .shape = {1}, .bytes = mask}},
                         {"b", ViewOf(values)},
                         {"c", {.type = TensorType::kI64, .shape = {}, .bytes = number}}},
                        {{"step", "12"}});
  const std::string json =
      R"({"__metadata__":{"step":"12"},"a":{"data_offsets":[16,17],"dtype":"U8","shape":[1]},)"
      R"("b":{"data_offsets":[8,16],"dtype":"F32","shape":[2]},)"
      R"("c":{"data_offsets":[0,8],"dtype":"I64","shape":[]}})";
  EXPECT_EQ(parts.header.size() % 8, 0u);
  EXPECT_EQ(static_cast<uint8_t>(parts.header[0]), parts.header.size() - 8);
  EXPECT_EQ(parts.header.substr(1, 7), std::string(7, '\0'));
  EXPECT_EQ(parts.header.substr(8, json.size()), json);
  EXPECT_EQ(parts.header.find_first_not_of(' ', 8 + json.size()), std::string::npos);
  ASSERT_EQ(parts.tensors.size(), 3u);
  EXPECT_EQ(parts.tensors[0].data(), number.data());
  EXPECT_EQ(parts.tensors[2].data(), mask.data());
}

TEST(Safetensors, FileComesBackAsItWas) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "tensors.safetensors";
  const std::vector<float> values{0.1f, -0.0f, 1e-40f};
  const std::vector<uint8_t> half{0x80, 0x3f};
  WriteSafetensors(path,
                   {{"größe/\"x\"", ViewOf(values)},
                    {"bf", {.type = TensorType::kBF16, .shape = {1, 1}, .bytes = half}},
                    {"none", ViewOf({})}},
                   {{"what", "a\nb"}});
  Safetensors read = Safetensors::Read(path);
  const Safetensors file = std::move(read);
  EXPECT_EQ(file.metadata().at("what"), "a\nb");
  ASSERT_EQ(file.tensors().size(), 3u);
  const TensorView& tensor = file.tensors().at("größe/\"x\"");
  ASSERT_EQ(tensor.bytes.size(), 12u);
  EXPECT_EQ(std::memcmp(tensor.bytes.data(), values.data(), 12), 0);
  EXPECT_EQ(file.tensors().at("bf").shape, (std::vector<uint64_t>{1, 1}));
  EXPECT_EQ(file.tensors().at("none").shape, (std::vector<uint64_t>{0}));
}

TEST(Safetensors, WithoutTensorsIsAFile) {
  const SafetensorsParts parts = LayOutSafetensors({}, {});
  EXPECT_TRUE(Safetensors::Parse(BytesOf(parts.header), "FILE").tensors().empty());
}

TEST(Safetensors, WriterRefusesWhatDoesNotFit) {
  const std::vector<float> values(6);
  TensorView tensor = ViewOf(values);
  tensor.shape = {2, 2};
  EXPECT_THROW(LayOutSafetensors({{"a", tensor}}, {}), StatusError);
  EXPECT_THROW(LayOutSafetensors({{"__metadata__", ViewOf(values)}}, {}), StatusError);
  EXPECT_THROW(LayOutSafetensors({{"\xff", ViewOf(values)}}, {}), StatusError);
}

TEST(Safetensors, LengthOfTheHeaderIsNotTrusted) {
  ExpectContains(ParseRefusal({}), "0 bytes are too few");
  ExpectContains(ParseRefusal(BytesOf("1234567")), "7 bytes are too few");
  std::vector<uint8_t> longer = File("{}", "");
  longer[0] = 3;
  ExpectContains(ParseRefusal(longer), "3 bytes is announced, 2 follow");
  ExpectContains(ParseRefusal(std::vector<uint8_t>(16, 0xff)), "18446744073709551615 bytes");
  ExpectContains(ParseRefusal(File("", "")), "does not begin with '{'");
  // As large as the format's own implementation allows, and one more.
  std::vector<uint8_t> huge(8 + 100'000'001, ' ');
  const uint64_t length = huge.size() - 8;
  std::memcpy(huge.data(), &length, 8);
  ExpectContains(ParseRefusal(std::move(huge)), "at most 100000000 are allowed");
}

TEST(Safetensors, HeaderIsNotTrusted) {
  ExpectContains(RefusalOfHeader(R"({"a":)"), "not JSON");
  ExpectContains(RefusalOfHeader("[]"), "does not begin with '{'");
  ExpectContains(RefusalOfHeader("{}x"), "not JSON");
  ExpectContains(RefusalOfHeader("{\"\xff\":1}"), "not JSON");
  ExpectContains(RefusalOfHeader(R"({"a":)" + std::string(100'000, '[') + "}"), "nested");
  ExpectContains(RefusalOfHeader(R"({"a":1})"), "dtype, shape and data_offsets");
  ExpectContains(RefusalOfHeader(R"({"__metadata__":[]})"), "not an object");
  ExpectContains(RefusalOfHeader(R"({"__metadata__":{"a":1}})"), "not a string");
  const std::string tensor = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  ExpectContains(RefusalOfHeader(R"({"a":)" + tensor + R"(,"a":)" + tensor + "}"), R"("a" twice)");
  ExpectContains(RefusalOfHeader(R"({"a":{"dtype":"U8","dtype":"F32","shape":[0],)"
                                 R"("data_offsets":[0,0]}})"),
                 R"("dtype" twice)");
  ExpectContains(RefusalOfHeader(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})"),
                 "nothing else");
}

// One tensor of this description, over 8 bytes of data.
std::string RefusalOfTensor(const std::string& type, const std::string& shape,
                            const std::string& offsets) {
  return RefusalOfHeader(
      fmt::format(R"({{"a":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", type, shape, offsets),
      "01234567");
}

TEST(Safetensors, TensorsAreNotTrusted) {
  const std::string f32 = R"("F32")";
  ExpectContains(RefusalOfTensor(R"("F128")", "[2]", "[0,8]"), "F128");
  ExpectContains(RefusalOfTensor("4", "[2]", "[0,8]"), "dtype 4");
  for (const char* shape : {"2", "[-2]", "[2.0]", "[\"2\"]", "[1e3]", "[18446744073709551616]"}) {
    ExpectContains(RefusalOfTensor(f32, shape, "[0,8]"), "shape is not a list");
  }
  ExpectContains(RefusalOfTensor(f32, "[3]", "[0,8]"), "8 bytes for a F32 of shape [3]");
  // 2^62 * 4 and 2^32 * 2^32 are 0 in 64 bits, with 2 more the 8 bytes that are there.
  for (const char* shape : {"[4611686018427387906]", "[4294967296,4294967296,2]"}) {
    ExpectContains(RefusalOfTensor(f32, shape, "[0,8]"), "8 bytes for a F32");
  }
  ExpectContains(RefusalOfTensor(f32, "[2]", "[8,0]"), "data_offsets [8,0]");
  ExpectContains(RefusalOfTensor(f32, "[2]", "[0,9]"), "in 8 bytes of data");
  ExpectContains(RefusalOfTensor(f32, "[2]", "[0]"), "data_offsets [0]");
  ExpectContains(RefusalOfTensor(f32, "[2]", "[-8,0]"), "data_offsets is not a list");
  ExpectContains(RefusalOfTensor(f32, "[1]", "[0,4]"), "end at byte 4 of the data, which has 8");
  ExpectContains(RefusalOfTensor(f32, "[1]", "[4,8]"), "begins at byte 4");
}

TEST(Safetensors, HolesAndOverlapsAreRefused) {
  const auto two = [](const std::string& first, const std::string& second) {
    return RefusalOfHeader(fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},)"
                                       R"("b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
                                       first, second),
                           "01234567");
  };
  ExpectContains(two("[0,4]", "[0,4]"), "\"b\" begins at byte 0");
  ExpectContains(two("[0,4]", "[2,6]"), "\"b\" begins at byte 2");
  ExpectContains(two("[4,8]", "[4,8]"), "begins at byte 4");
}

// Whatever is cut off or changed, the answer is a typed refusal or tensors that lie
// within the bytes.
TEST(Safetensors, DamagedBytesNeverLeadOutside) {
  const std::vector<float> values{1, 2, 3, 4};
  const std::vector<uint8_t> mask{9, 8};
  const SafetensorsParts parts = LayOutSafetensors(
      {{"a", {.type = TensorType::kU8, .shape = {2}, .bytes = mask}}, {"b", ViewOf(values)}},
      {{"k", "v"}});
  std::vector<uint8_t> whole = BytesOf(parts.header);
  for (const auto& tensor : parts.tensors) whole.insert(whole.end(), tensor.begin(), tensor.end());
  for (size_t length = 0; length < whole.size(); ++length) {
    ParseRefusal({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)});
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<uint8_t> damaged = whole;
    damaged[random() % parts.header.size()] ^= static_cast<uint8_t>(1 + random() % 255);
    try {
      const Safetensors file = Safetensors::Parse(damaged, "FILE");
      size_t bytes = 0;
      for (const auto& [name, tensor] : file.tensors()) bytes += tensor.bytes.size();
      ASSERT_LE(bytes, damaged.size());
    } catch (const StatusError& error) {
      ASSERT_EQ(error.code(), StatusCode::kCorrupt) << error.what();
    }
  }
}

}  // namespace
}  // namespace cddp
