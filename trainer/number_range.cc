#include "trainer/number_range.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace cddp {

CLI::Validator NumberRange(double least, double most) {
  const std::string wanted = std::isinf(most) ? fmt::format("of at least {:g}", least)
                                              : fmt::format("from {:g} to {:g}", least, most);
  const auto check = [=](const std::string& text) {
    double number = 0;
    const bool good = CLI::detail::lexical_cast(text, number) && number >= least && number <= most;
    return good ? std::string() : fmt::format("a number {} is needed, got {}", wanted, text);
  };
  return {check, ""};
}

}  // namespace cddp
