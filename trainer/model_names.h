// Names of the models, for code that does not need torch.
#pragma once

#include <string>
#include <vector>

namespace cddp {

inline std::vector<std::string> ModelNames() { return {"simple_cnn"}; }

}  // namespace cddp
