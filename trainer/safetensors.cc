#include "trainer/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "cddp/status.h"
#include "trainer/data/file_bytes.h"

namespace cddp {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie");

using Json = nlohmann::json;

constexpr const char* kMetadata = "__metadata__";
constexpr size_t kLengthBytes = 8;
// As the format's own implementation: more is an attack on the parser.
constexpr uint64_t kMostHeaderBytes = 100'000'000;
// name -> tensor -> shape.
constexpr int kMostDepth = 3;

struct TypeRow {
  std::string_view name;
  size_t bytes;
};
constexpr std::array<TypeRow, 7> kTypes = {
    {{"F32", 4}, {"F64", 8}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"U8", 1}}};

const TypeRow& RowOf(TensorType type) { return kTypes[static_cast<size_t>(type)]; }

// False when the number does not fit 64 bits.
bool BytesOf(TensorType type, const std::vector<uint64_t>& shape, uint64_t* bytes) {
  *bytes = TensorTypeSize(type);
  // A dimension of 0 makes it none, however large the others are.
  if (std::ranges::find(shape, 0u) != shape.end()) {
    *bytes = 0;
    return true;
  }
  return std::ranges::all_of(
      shape, [&](uint64_t extent) { return !__builtin_mul_overflow(*bytes, extent, bytes); });
}

class Parser {
 public:
  Parser(std::span<const uint8_t> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  void Run(TensorViews* tensors, TensorMetadata* metadata) {
    const Json header = Header();
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        ReadMetadata(value, metadata);
      } else {
        tensors->emplace(name, Tensor(name, value));
      }
    }
    RequireCovered();
  }

 private:
  struct Place {
    uint64_t begin;
    uint64_t end;
    std::string name;
  };

  [[noreturn]] void Refuse(const std::string& why) const {
    throw StatusError(StatusCode::kCorrupt, fmt::format("{}: {}", source_, why));
  }

  Json Header() {
    if (bytes_.size() < kLengthBytes) {
      Refuse(fmt::format("{} bytes are too few for the length of a safetensors header",
                         bytes_.size()));
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{bytes_[i]} << (8 * i);
    if (length > kMostHeaderBytes || length > bytes_.size() - kLengthBytes) {
      Refuse(
          fmt::format("a safetensors header of {} bytes is announced, {} follow (at most {} are "
                      "allowed)",
                      length, bytes_.size() - kLengthBytes, kMostHeaderBytes));
    }
    const auto text = bytes_.subspan(kLengthBytes, length);
    data_ = bytes_.subspan(kLengthBytes + length);
    if (text.empty() || text.front() != '{') Refuse("the header does not begin with '{'");
    return ParseJson(text);
  }

  // The parser keeps the last one of equal names: they are found while it reads.
  Json ParseJson(std::span<const uint8_t> text) {
    std::vector<std::set<std::string>> names;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
      if (depth > kMostDepth) Refuse("the header is nested too deeply");
      if (event == Json::parse_event_t::object_start) names.emplace_back();
      if (event == Json::parse_event_t::object_end) names.pop_back();
      if (event == Json::parse_event_t::key &&
          !names.back().insert(value.get<std::string>()).second) {
        Refuse(fmt::format("the header has \"{}\" twice", value.get<std::string>()));
      }
      return true;
    };
    try {
      return Json::parse(text.begin(), text.end(), watch);
    } catch (const Json::exception& error) {
      Refuse(fmt::format("the header is not JSON: {}", error.what()));
    }
  }

  void ReadMetadata(const Json& value, TensorMetadata* metadata) const {
    if (!value.is_object()) Refuse("__metadata__ is not an object");
    for (const auto& [name, text] : value.items()) {
      if (!text.is_string()) Refuse(fmt::format("__metadata__ \"{}\" is not a string", name));
      metadata->emplace(name, text.get<std::string>());
    }
  }

  TensorView Tensor(const std::string& name, const Json& value) {
    const bool complete = value.is_object() && value.size() == 3 && value.contains("dtype") &&
                          value.contains("shape") && value.contains("data_offsets");
    if (!complete) {
      Refuse(fmt::format("tensor \"{}\": dtype, shape and data_offsets expected, and nothing else",
                         name));
    }
    TensorView tensor{.type = Type(name, value["dtype"]),
                      .shape = Numbers(name, "shape", value["shape"])};
    const std::vector<uint64_t> offsets = Numbers(name, "data_offsets", value["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      Refuse(fmt::format("tensor \"{}\": data_offsets {} in {} bytes of data", name,
                         value["data_offsets"].dump(), data_.size()));
    }
    uint64_t bytes = 0;
    if (!BytesOf(tensor.type, tensor.shape, &bytes) || bytes != offsets[1] - offsets[0]) {
      Refuse(fmt::format("tensor \"{}\": {} bytes for a {} of shape {}", name,
                         offsets[1] - offsets[0], TensorTypeName(tensor.type),
                         value["shape"].dump()));
    }
    tensor.bytes = data_.subspan(offsets[0], bytes);
    places_.push_back({offsets[0], offsets[1], name});
    return tensor;
  }

  TensorType Type(const std::string& name, const Json& value) const {
    for (size_t i = 0; value.is_string() && i < kTypes.size(); ++i) {
      if (value.get<std::string>() == kTypes[i].name) return static_cast<TensorType>(i);
    }
    std::string known;
    for (const TypeRow& row : kTypes) known += fmt::format(" {}", row.name);
    Refuse(fmt::format("tensor \"{}\": dtype {}; known:{}", name, value.dump(), known));
  }

  std::vector<uint64_t> Numbers(const std::string& name, const char* what,
                                const Json& value) const {
    const bool good = value.is_array() && std::ranges::all_of(value, [](const Json& number) {
                        return number.is_number_unsigned();
                      });
    if (!good) {
      Refuse(fmt::format("tensor \"{}\": {} is not a list of whole numbers", name, what));
    }
    return value.get<std::vector<uint64_t>>();
  }

  void RequireCovered() {
    std::ranges::sort(places_, {},
                      [](const Place& place) { return std::pair(place.begin, place.end); });
    uint64_t at = 0;
    for (const Place& place : places_) {
      if (place.begin != at) {
        Refuse(
            fmt::format("tensor \"{}\" begins at byte {} of the data, but the one before it "
                        "ends at {}",
                        place.name, place.begin, at));
      }
      at = place.end;
    }
    if (at != data_.size()) {
      Refuse(fmt::format("the tensors end at byte {} of the data, which has {}", at, data_.size()));
    }
  }

  std::span<const uint8_t> bytes_;
  const std::string& source_;
  std::span<const uint8_t> data_;
  std::vector<Place> places_;
};

}  // namespace

std::string_view TensorTypeName(TensorType type) { return RowOf(type).name; }

size_t TensorTypeSize(TensorType type) { return RowOf(type).bytes; }

TensorView ViewOf(std::span<const float> values) {
  return {.type = TensorType::kF32,
          .shape = {values.size()},
          .bytes = {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()}};
}

SafetensorsParts LayOutSafetensors(const TensorViews& tensors, const TensorMetadata& metadata) {
  std::vector<const TensorViews::value_type*> order;
  for (const auto& item : tensors) order.push_back(&item);
  // The widest elements first: so all begin at multiples of their size.
  std::ranges::stable_sort(order, std::greater<>(),
                           [](const auto* item) { return TensorTypeSize(item->second.type); });

  SafetensorsParts parts;
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t at = 0;
  for (const auto* item : order) {
    const auto& [name, tensor] = *item;
    uint64_t bytes = 0;
    if (name == kMetadata || !BytesOf(tensor.type, tensor.shape, &bytes) ||
        bytes != tensor.bytes.size()) {
      throw StatusError(
          StatusCode::kInvalidArgument,
          fmt::format("tensor \"{}\": {} bytes for a {} of shape {}", name, tensor.bytes.size(),
                      TensorTypeName(tensor.type), Json(tensor.shape).dump()));
    }
    header[name] = {{"dtype", TensorTypeName(tensor.type)},
                    {"shape", tensor.shape},
                    {"data_offsets", {at, at + bytes}}};
    at += bytes;
    parts.tensors.push_back(tensor.bytes);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    throw StatusError(StatusCode::kInvalidArgument,
                      fmt::format("a tensor's name or metadata is not UTF-8: {}", error.what()));
  }
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  for (size_t i = 0; i < kLengthBytes; ++i) {
    parts.header += static_cast<char>(uint64_t{text.size()} >> (8 * i));
  }
  parts.header += text;
  return parts;
}

Safetensors Safetensors::Parse(std::vector<uint8_t> bytes, const std::string& source) {
  Safetensors file;
  file.bytes_ = std::move(bytes);
  Parser(file.bytes_, source).Run(&file.tensors_, &file.metadata_);
  return file;
}

Safetensors Safetensors::Read(const std::filesystem::path& path) {
  return Parse(ReadFileBytes(path, std::numeric_limits<uint64_t>::max()), path.string());
}

void WriteSafetensors(const std::filesystem::path& path, const TensorViews& tensors,
                      const TensorMetadata& metadata) {
  const SafetensorsParts parts = LayOutSafetensors(tensors, metadata);
  std::vector<uint8_t> bytes(parts.header.begin(), parts.header.end());
  for (const auto& tensor : parts.tensors) bytes.insert(bytes.end(), tensor.begin(), tensor.end());
  WriteResult(path, bytes);
}

}  // namespace cddp
