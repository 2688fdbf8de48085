#include "trainer/versions.h"

#include <cddp_revision.h>
#include <fmt/format.h>
#include <hwy/highway.h>
#include <torch/version.h>
#if __has_include(<gloo/config.h>)
#include <gloo/config.h>
#endif

namespace cddp {
namespace {

std::string GlooVersion() {
#ifdef GLOO_VERSION_MAJOR
  return fmt::format("{}.{}.{}", GLOO_VERSION_MAJOR, GLOO_VERSION_MINOR, GLOO_VERSION_PATCH);
#else
  return "libtorch's";
#endif
}

}  // namespace

nlohmann::json Versions() {
  return {
      {"cddp", CDDP_VERSION},
      {"revision", CDDP_REVISION},
      {"libtorch", TORCH_VERSION},
      {"gloo", GlooVersion()},
      {"highway", fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
      {"compiler", __VERSION__}};
}

}  // namespace cddp
