// How the pictures of `cddp scaling` draw a collective: colours of Okabe and Ito (2008);
// marker and dashes tell without colour.
#pragma once

#include <algorithm>
#include <array>
#include <string>

namespace cddp {

struct ScalingStyle {
  const char* collective;
  const char* color;
  int marker;
  const char* dashes;
};
inline constexpr std::array<ScalingStyle, 4> kScalingStyles = {{
    {"dense", "#000000", 5, "(18,8)"},
    {"gather", "#56b4e9", 9, "(4,5)"},
    {"split", "#d55e00", 7, "(9,6)"},
    {"auto", "#009e73", 13, "(14,5,3,5)"},
}};

inline const ScalingStyle& StyleOf(const std::string& collective) {
  return *std::ranges::find(kScalingStyles, collective, &ScalingStyle::collective);
}

}  // namespace cddp
