// What the pictures share: pages, panels, colours and the tics of axes.
//
// Colours are Okabe's and Ito's (2008) or differ in lightness alone, so that grey will do;
// lines have markers and dashes of their own. Nothing here reads text as markup.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace cddp {

inline constexpr const char* kDarkBlue = "#1f3f7a";   // computation
inline constexpr const char* kLightBlue = "#bfe0f5";  // backward, where computation is split
inline constexpr const char* kOrange = "#f0a830";     // exposed communication

inline constexpr double kFontSize = 20;    // of gnuplot: points at 96 dots per inch
inline constexpr double kDigitWidth = 17;  // pixels, of that font

// Terminal, output STEM.png of `width` x `height` pixels, and the name `data` for STEM.dat.
std::string PageHead(const std::string& stem, double width, double height);

// Borders, grid and tics of a panel.
std::string PanelStyle();

// Where a panel lies: its edges in pixels from the page's lower left corner.
struct PanelPlace {
  double left = 0;
  double right = 0;
  double bottom = 0;
  double top = 0;
};
std::string Place(const PanelPlace& place, double width, double height);

// A line of a key of boxes, centred at (`x`, `y`) in pixels: gnuplot's own makes all entries
// as wide as the widest. To be undone by kNoBoxKey.
struct KeyBox {
  const char* title;
  const char* color;
};
std::string BoxKey(const std::vector<KeyBox>& boxes, double x, double y, double width,
                   double height);
inline constexpr const char* kNoBoxKey = "unset object\nunset label\n";

// The n-th line style, from 1: colour, marker and dashes; of many `points` few are marked.
std::string LineStyle(int number, int points);

// The x axis of epochs 1 to `epochs`, or from 0, where there are points within epochs.
std::string EpochAxis(int epochs, bool from_zero);

// A y range for percentages: theirs, but no tics above 100.
inline constexpr const char* kPercentRange = "set yrange [*:*<101]\n";

// Range and labelled tics of an axis `name` (x, y) that shows positive values from `low` to
// `high`, 1e-200 to 1e200: logarithmic, or from zero.
std::string ValueAxis(const std::string& name, double low, double high, bool logarithmic,
                      const std::function<std::string(double)>& label);

// Tics, ('a' 0, 'b' 1, ...), that are texts at 0, 1, ...
std::string NamedTics(const std::vector<std::string>& names);

// Pixels of a text's width, rather too many, and the text, cut to fewer characters when long.
double TextPixels(const std::string& text);
std::string Shortened(const std::string& text);

}  // namespace cddp
