// What a run was built from and runs on.
#pragma once

#include <nlohmann/json.hpp>

namespace cddp {

// Names -> versions: cddp, libtorch, gloo and highway (of the headers), compiler.
nlohmann::json Versions();

}  // namespace cddp
