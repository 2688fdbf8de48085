#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests: under the
# sanitizers all rooms as far as they need no libtorch, but for pictures and projections, with a
# minute of fuzzing, then the release build, where there is nvcc with what is for GPUs: of that the
# tests that need no GPU.
#
#   ./test.sh            all of it
#   ./test.sh release    only one preset: release, asan, tsan or cuda
#
# The last line counts the tests. A test that was skipped or not run has not
# passed. Ends with 0 when all have passed, else with ctest's own exit status.
set -Eeuo pipefail
cd "$(dirname "$0")"
step="starting"
trap 'echo "test.sh stopped while $step." >&2' ERR
source scripts/dependencies.sh

step="installing packages"
require_dependencies "${TEST_PACKAGES[@]}"
cuda=OFF
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  cuda=ON
else
  echo "There is no nvcc here: what runs on GPUs is left out."
fi

# count ATTRIBUTE REPORT: a number of the report's <testsuite>, whose attributes
# ctest writes one a line.
count() {
  sed -n "s/^.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

presets=(asan tsan release)
[ $# -gt 0 ] && presets=("$@")
passed=0
failed=0
skipped=0
status=0
for preset in "${presets[@]}"; do
  echo "== $preset"
  step="configuring preset $preset"
  options=(-DCDDP_TESTS=ON)
  if [ "$preset" = release ]; then
    options+=("-DCDDP_CUDA=$cuda")
  fi
  quietly cmake --preset "$preset" "${options[@]}"
  step="building preset $preset"
  cmake --build --preset "$preset"
  step="testing preset $preset"
  report=build/$preset/tests.xml
  rm -f "$report"
  ctest --preset "$preset" --output-junit "$PWD/$report" || status=$?
  step="reading the report of preset $preset"
  total=$(count tests "$report")
  bad=$(count failures "$report")
  not_run=$(($(count disabled "$report") + $(count skipped "$report")))
  if [ "$not_run" -gt 0 ]; then
    echo "Skipped or not run:"
    sed -n 's/.*<testcase name="\([^"]*\)".* status="\(notrun\|disabled\)".*/  \1/p' "$report"
  fi
  passed=$((passed + total - bad - not_run))
  failed=$((failed + bad))
  skipped=$((skipped + not_run))
done
trap - ERR
echo "$passed passed, $failed failed, $skipped skipped or not run"
if [ "$status" -eq 0 ] && { [ $((failed + skipped)) -gt 0 ] || [ "$passed" -eq 0 ]; }; then
  status=1
fi
exit "$status"
