// A picture of what `cddp bench select` measured: time against size, both
// logarithmic, a line for each method.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace cddp {

// Draws rows that differ only in their size: of those with the most sizes the ones
// with a ratio of 1%, or else the first. Writes FILE.dat and FILE.gp beside FILE.png.
// Throws StatusError: kInvalidArgument unless the name ends in .png; as DrawPictures.
void PlotSelect(const nlohmann::json& rows, const std::filesystem::path& png);

}  // namespace cddp
