// How the pictures of `cddp scaling` draw a collective: in a line style of trainer/plots, dashed
// where it is projected.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "trainer/plots/plot_style.h"

namespace cddp {

struct ScalingStyle {
  const char* collective;
  int line;  // of LineStyle
  const char* dashes;
};
inline constexpr std::array<ScalingStyle, 4> kScalingStyles = {{
    {"dense", 1, "(18,8)"},
    {"gather", 6, "(4,5)"},
    {"split", 2, "(9,6)"},
    {"auto", 4, "(14,5,3,5)"},
}};

inline const ScalingStyle& StyleOf(const std::string& collective) {
  return *std::ranges::find(kScalingStyles, collective, &ScalingStyle::collective);
}

// Defines what the others name; goes before them.
inline std::string CollectiveLines() {
  std::string styles;
  for (const ScalingStyle& style : kScalingStyles) styles += LineStyle(style.line, 1);
  return styles;
}

inline std::string MeasuredPoints(const std::string& collective) {
  return fmt::format("ls {}", StyleOf(collective).line);
}

inline std::string ProjectedLine(const std::string& collective) {
  const ScalingStyle& style = StyleOf(collective);
  return fmt::format("ls {} dt {}", style.line, style.dashes);
}

}  // namespace cddp
