// The known name nearest to a mistyped one, for error messages.
#pragma once

#include <string>
#include <vector>

namespace cddp {

// By Levenshtein distance; empty when none is within half the name's length.
std::string NearestName(const std::string& name, const std::vector<std::string>& known);

// `unknown model "resnet81"; did you mean "resnet18"? known: ...`
std::string UnknownName(const std::string& kind, const std::string& name,
                        const std::vector<std::string>& known);

// Throws StatusError(kInvalidArgument) with UnknownName unless `name` is known.
void RequireName(const std::string& kind, const std::string& name,
                 const std::vector<std::string>& known);

}  // namespace cddp
