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
  int many_line;  // where a line for many workers stands beside it
};
inline constexpr std::array<ScalingStyle, 4> kScalingStyles = {{
    {"dense", 1, "(18,8)", 8},
    {"gather", 6, "(4,5)", 3},
    {"split", 2, "(9,6)", 7},
    {"auto", 4, "(14,5,3,5)", 5},
}};

inline const ScalingStyle& StyleOf(const std::string& collective) {
  return *std::ranges::find(kScalingStyles, collective, &ScalingStyle::collective);
}

// Define what the others name; go before them.
inline std::string CollectiveLines() {
  std::string styles;
  for (const ScalingStyle& style : kScalingStyles) styles += LineStyle(style.line, 1);
  return styles;
}
inline std::string LinesOfMany() {
  std::string styles;
  for (const ScalingStyle& style : kScalingStyles) styles += LineStyle(style.many_line, 1);
  return styles;
}

inline std::string MeasuredPoints(const std::string& collective) {
  return fmt::format("ls {}", StyleOf(collective).line);
}

inline std::string ProjectedLine(const std::string& collective) {
  const ScalingStyle& style = StyleOf(collective);
  return fmt::format("ls {} dt {}", style.line, style.dashes);
}

inline std::string LineOfMany(const std::string& collective) {
  return fmt::format("ls {}", StyleOf(collective).many_line);
}

}  // namespace cddp
