#include "trainer/number_range.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
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

void RequireDecimals(CLI::App* app) {
  const auto check = [](const std::string& text) {
    const size_t first = text.find_first_of("0123456789");
    if (first == text.npos || text.find_first_not_of("0123456789", first) != text.npos) {
      return std::string();  // not a whole number, which others say
    }
    if (text[first] == '0' && first + 1 < text.size()) {
      return fmt::format("a number without leading zeros is needed, got {}", text);
    }
    uint64_t number = 0;
    const bool fits =
        std::from_chars(text.data() + first, text.data() + text.size(), number).ec == std::errc();
    return fits ? std::string()
                : fmt::format("a number of at most 64 bits is needed, got {}", text);
  };
  for (CLI::Option* option : app->get_options()) {
    const std::string type = option->get_type_name();
    if (type == "INT" || type == "UINT") option->check(CLI::Validator(check, ""));
  }
  for (CLI::App* sub : app->get_subcommands({})) RequireDecimals(sub);
}

}  // namespace cddp
