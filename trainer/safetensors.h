// The safetensors format: named tensors in one file, without code in it
// (github.com/huggingface/safetensors).
//
//   8 bytes   length n of the header, unsigned, little-endian
//   n bytes   JSON: name -> {"dtype", "shape", "data_offsets": [begin, end)}, and under
//             "__metadata__" strings by name; spaces may follow
//   the rest  the tensors' bytes, to which the offsets refer; together they cover all
//             of it, without holes or overlaps
//
// Tensors are row-major and little-endian.
//
// Reading trusts nothing: lengths, offsets, shapes and names are checked before use, and
// no more than the bytes given is allocated for tensors. Thread safety: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cddp {

enum class TensorType : uint8_t { kF32, kF64, kF16, kBF16, kI64, kI32, kU8 };

// "F32", as the format calls it.
std::string_view TensorTypeName(TensorType type);
// Bytes of an element.
size_t TensorTypeSize(TensorType type);

// A tensor whose bytes lie elsewhere.
struct TensorView {
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;       // empty: one element
  std::span<const uint8_t> bytes{};  // row-major; no alignment is promised
};

using TensorViews = std::map<std::string, TensorView>;
using TensorMetadata = std::map<std::string, std::string>;

// A view of `values` as one row.
TensorView ViewOf(std::span<const float> values);

// The file in parts: writing them one after the other needs no copy of the tensors. The
// data begins at a multiple of 8 bytes and each tensor at a multiple of its element's
// size. Throws StatusError(kInvalidArgument) for a tensor whose bytes are not as many as
// its shape says, or a name that is "__metadata__" or not UTF-8.
struct SafetensorsParts {
  std::string header;
  std::vector<std::span<const uint8_t>> tensors;
};
SafetensorsParts LayOutSafetensors(const TensorViews& tensors, const TensorMetadata& metadata);

// A file that was read.
class Safetensors {
 public:
  // `source` is what errors call the bytes. Throws StatusError(kCorrupt) saying what in
  // them is not as the format wants it.
  static Safetensors Parse(std::vector<uint8_t> bytes, const std::string& source);

  // Throws as well StatusError(kUnavailable) when the file cannot be read.
  static Safetensors Read(const std::filesystem::path& path);

  // Views of this object's bytes: valid while it lives, also when it is moved.
  const TensorViews& tensors() const { return tensors_; }
  const TensorMetadata& metadata() const { return metadata_; }

 private:
  Safetensors() = default;
  std::vector<uint8_t> bytes_;
  TensorViews tensors_;
  TensorMetadata metadata_;
};

// Writes a file, whole or not at all. Throws StatusError: kInvalidArgument as
// LayOutSafetensors, kUnavailable when it cannot be written.
void WriteSafetensors(const std::filesystem::path& path, const TensorViews& tensors,
                      const TensorMetadata& metadata);

}  // namespace cddp
