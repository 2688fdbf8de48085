// Writes the seeds that tests/corrupt holds: frames and index streams of every codec, whole and
// damaged, and whole files of each format.
//
//   seed_corpus FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/core/frame_bytes.h"
#include "tests/core/random_bits.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/data/cifar10.h"
#include "trainer/data/idx.h"
#include "trainer/plan_file.h"
#include "trainer/safetensors.h"
#include "trainer/training_progress.h"

namespace cddp {
namespace {

void Write(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

// A dense run, a sparse one and one with a far outlier.
Selection Entries(uint32_t elements, std::vector<size_t>* run_ends) {
  RandomBits bits(1);
  Selection selection;
  const uint32_t dense = elements / 7 * 3;
  const uint32_t sparse = elements / 7 * 6;
  for (uint32_t i = 0; i < elements; ++i) {
    const bool taken = i < dense    ? bits.Below(2) == 0
                       : i < sparse ? bits.Below(20) == 0
                                    : i == elements - 1;
    if (taken) {
      selection.indices.push_back(i);
      selection.values.push_back(bits.Gradient());
    }
    if (i + 1 == dense || i + 1 == sparse) run_ends->push_back(selection.size());
  }
  run_ends->push_back(selection.size());
  return selection;
}

void WriteFrames(const std::filesystem::path& folder) {
  std::vector<size_t> run_ends;
  const Selection selection = Entries(700, &run_ends);
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

void WriteIndices(const std::filesystem::path& folder, const IndexCodec& codec, uint16_t elements) {
  std::vector<size_t> run_ends;
  const Selection selection = Entries(elements, &run_ends);
  const std::vector<size_t> one_run = {selection.size()};
  const size_t most = codec.MaxBytes(selection.size(), elements, MaxBlocks(selection.size(), 1));
  std::vector<std::byte> bytes(4 + most + IndexCodec::kSlack);
  Store<uint16_t>(&bytes, 0, static_cast<uint16_t>(selection.size()));
  Store<uint16_t>(&bytes, 2, elements);
  bytes.resize(4 + codec.Encode({selection.indices, one_run, elements}, bytes.data() + 4));
  const std::string name = std::to_string(elements);
  Write(folder / (name + "-whole"), bytes);
  bytes[bytes.size() / 2] ^= std::byte{0x40};
  Write(folder / (name + "-flipped"), bytes);
  bytes.resize(bytes.size() / 2);
  Write(folder / (name + "-cut"), bytes);
}

void WriteText(const std::filesystem::path& path, const std::string& text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  Write(path, {bytes, bytes + text.size()});
}

void WriteFiles(const std::filesystem::path& folder) {
  const std::vector<float> values = {1.5f, -2.0f};
  const SafetensorsParts parts =
      LayOutSafetensors({{"layer.weight", ViewOf(values)},
                         {"one", {.shape = {}, .bytes = ViewOf(values).bytes.first(4)}}},
                        {{"made by", "hand"}});
  std::string text = parts.header;
  for (const auto& tensor : parts.tensors) text.append(tensor.begin(), tensor.end());
  WriteText(folder / "safetensors" / "two", text);

  const auto word = [](uint32_t value) {
    return std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                       static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  WriteText(folder / "idx" / "images",
            word(kIdxImagesMagic) + word(2) + word(2) + word(3) + "twelve bytes");
  WriteText(folder / "idx" / "labels", word(kIdxLabelsMagic) + word(3) + "one");
  WriteText(folder / "cifar10" / "two", std::string(2 * kCifar10RecordBytes, '\7'));

  WriteText(folder / "config" / "all",
            "model: resnet18\nbatch_size: 5\nlr: 0.1\nmilestones: [5, 8]\ncompress: true\n"
            "workers: 3\n");

  const Plan plan{.world_size = 2,
                  .first = Way::kDense,
                  .elements = {100, 20},
                  .changes = {{.step = 3, .ways = {Way::kSplit, Way::kGather}}}};
  WriteText(folder / "json" / "plan", ToJson(plan).dump());
  TrainingProgress progress;
  progress.best = 97.5;
  progress.history.resize(1);
  progress.evaluations.resize(1);
  WriteText(folder / "json" / "progress", ToJson(progress).dump());
  WriteText(folder / "json" / "sums", ToJson(EpochSums()).dump());
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
       {&cddp::Raw32Codec(), &cddp::RiceCodec(), &cddp::BitmapCodec(), &cddp::RiceAbsentCodec(),
        &cddp::RiceBlocksCodec()}) {
    // Short enough for careful decoding only, and long enough for the fast one.
    cddp::WriteIndices(folder / codec->name(), *codec, 700);
    cddp::WriteIndices(folder / codec->name(), *codec, 20'000);
  }
  cddp::WriteFiles(folder);
  return 0;
}
