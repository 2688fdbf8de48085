#include "trainer/plots/gnuplot.h"

#include <fmt/format.h>

#include <chrono>

#include "cddp/status.h"
#include "trainer/data/child_process.h"
#include "trainer/data/file_bytes.h"
#include "trainer/data/temporary_folder.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

// In a folder of its own: what gnuplot leaves half-drawn never replaces a picture.
fs::path Draw(const fs::path& folder, const Picture& picture) {
  const fs::path png = folder / (picture.name + ".png");
  const TemporaryFolder temporary;
  WriteFileAtomically(temporary.path() / (picture.name + ".dat"), picture.data);
  WriteFileAtomically(temporary.path() / (picture.name + ".gp"), picture.script);
  try {
    RunProgram({"gnuplot", picture.name + ".gp"}, temporary.path(), temporary.path() / "log",
               std::chrono::seconds(120));
  } catch (const StatusError& error) {
    throw StatusError(
        error.code(),
        fmt::format("gnuplot (Debian package gnuplot-nox) did not draw {2}: {0}; {1}.gp and "
                    "{1}.dat are written: gnuplot {1}.gp draws it",
                    error.what(), picture.name, png.string()));
  }
  constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
  WriteResult(png, ReadFileBytes(temporary.path() / png.filename(), kMaxBytes));
  return png;
}

}  // namespace

std::vector<fs::path> DrawPictures(const fs::path& folder, const std::vector<Picture>& pictures) {
  for (const Picture& picture : pictures) {
    WriteFileAtomically(folder / (picture.name + ".dat"), picture.data);
    WriteFileAtomically(folder / (picture.name + ".gp"), picture.script);
  }
  std::vector<fs::path> paths;
  for (const Picture& picture : pictures) paths.push_back(Draw(folder, picture));
  return paths;
}

void RequirePngName(const fs::path& png) {
  if (png.empty() || png.extension() == ".png") return;
  throw StatusError(StatusCode::kInvalidArgument,
                    fmt::format("--plot {}: the name must end in .png", png.string()));
}

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'') quoted += '\'';  // doubled within quotes
    quoted += byte < 0x20 || byte == 0x7f ? ' ' : c;
  }
  return quoted + "'";
}

}  // namespace cddp
