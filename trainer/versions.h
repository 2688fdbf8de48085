// What a run was built from and runs on.
#pragma once

#include <nlohmann/json.hpp>

namespace cddp {

// Names -> versions: cddp and the revision of its sources (git describe; -dirty with changes,
// "unknown" outside a clone), libtorch, gloo and highway (of the headers), compiler.
nlohmann::json Versions();

}  // namespace cddp
