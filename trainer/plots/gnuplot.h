// Pictures drawn by gnuplot: what is drawn and how stay beside each picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cddp {

// A picture NAME.png. The script reads NAME.dat and writes NAME.png, both without a folder,
// so that `cd FOLDER && gnuplot NAME.gp` draws it again.
struct Picture {
  std::string name;
  std::string data;
  std::string script;
};

// Writes NAME.dat and NAME.gp of all pictures into the folder, then draws one after
// another. Returns the paths of the PNG files. Throws StatusError(kUnavailable) when a file
// cannot be written, or gnuplot is not there (the message names the package) or refuses:
// data and scripts are written all the same.
std::vector<std::filesystem::path> DrawPictures(const std::filesystem::path& folder,
                                                const std::vector<Picture>& pictures);

// Throws StatusError(kInvalidArgument), naming the flag --plot, unless the name ends in .png.
void RequirePngName(const std::filesystem::path& png);

// 'text', for a script. Control characters, which would end the line, become blanks.
std::string Quoted(const std::string& text);

}  // namespace cddp
