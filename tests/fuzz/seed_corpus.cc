// Writes the seeds that tests/corrupt holds: frames and index streams of every codec,
// whole and damaged.
//
//   seed_corpus FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/core/frame_bytes.h"
#include "tests/core/random_bits.h"
#include "tests/fuzz/fuzz.h"

namespace cddp {
namespace {

void Write(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

// Of 700 elements: a dense run, a sparse one and one with a far outlier.
Selection Entries(std::vector<size_t>* run_ends) {
  RandomBits bits(1);
  Selection selection;
  for (uint32_t i = 0; i < 700; ++i) {
    const bool taken = i < 300 ? bits.Below(2) == 0 : i < 600 ? bits.Below(20) == 0 : i == 699;
    if (taken) {
      selection.indices.push_back(i);
      selection.values.push_back(bits.Gradient());
    }
    if (i == 299 || i == 599 || i == 699) run_ends->push_back(selection.size());
  }
  return selection;
}

void WriteFrames(const std::filesystem::path& folder) {
  std::vector<size_t> run_ends;
  const Selection selection = Entries(&run_ends);
  const FrameId id{.step = 3, .bucket = 1, .rank = 2, .elements = 700};
  for (const std::string& indices : IndexFormatNames()) {
    if (indices == "auto") continue;
    for (const std::string& values : ValueFormatNames()) {
      FrameFormat format;
      if (!ParseIndexFormat(indices, &format.indices).ok()) return;
      if (!ParseValueFormat(values, &format.values).ok()) return;
      Selection encoded = selection;
      FrameBytes frame;
      if (!EncodeFrame(format, id, run_ends, false, &encoded, &frame).ok()) return;
      const std::string name = indices + "-" + values;
      Write(folder / name, frame);
      frame[40 + (frame.size() - 40) / 2] ^= std::byte{0x10};
      Write(folder / (name + "-flipped"), frame);
      frame.resize(frame.size() - 3);
      Write(folder / (name + "-cut"), frame);
    }
  }
  Write(folder / "non-finite", FrameOf(id, {}, true));
  Write(folder / "empty", FrameOf(id, {}));
  Write(folder / "nothing", {});
}

void WriteIndices(const std::filesystem::path& folder, const IndexCodec& codec) {
  std::vector<size_t> run_ends;
  const Selection selection = Entries(&run_ends);
  const std::vector<size_t> one_run = {selection.size()};
  std::vector<std::byte> bytes(4 + codec.MaxBytes(selection.size(), 700, 3) + IndexCodec::kSlack);
  Store<uint16_t>(&bytes, 0, static_cast<uint16_t>(selection.size()));
  Store<uint16_t>(&bytes, 2, 700);
  bytes.resize(4 + codec.Encode({selection.indices, one_run, 700}, bytes.data() + 4));
  Write(folder / "whole", bytes);
  bytes[bytes.size() / 2] ^= std::byte{0x40};
  Write(folder / "flipped", bytes);
  bytes.resize(bytes.size() / 2);
  Write(folder / "cut", bytes);
}

}  // namespace
}  // namespace cddp

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: seed_corpus FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  cddp::WriteFrames(folder / "frame");
  for (const cddp::IndexCodec* codec :
       {&cddp::Raw32Codec(), &cddp::RiceCodec(), &cddp::BitmapCodec(), &cddp::RiceAbsentCodec()}) {
    cddp::WriteIndices(folder / codec->name(), *codec);
  }
  return 0;
}
