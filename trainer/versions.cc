#include "trainer/versions.h"

#include <fmt/format.h>
#include <gloo/config.h>
#include <hwy/highway.h>
#include <torch/version.h>

namespace cddp {

nlohmann::json Versions() {
  return {
      {"cddp", CDDP_VERSION},
      {"libtorch", TORCH_VERSION},
      {"gloo", fmt::format("{}.{}.{}", GLOO_VERSION_MAJOR, GLOO_VERSION_MINOR, GLOO_VERSION_PATCH)},
      {"highway", fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
      {"compiler", __VERSION__}};
}

}  // namespace cddp
