#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests: the release
# build, and under the sanitizers all rooms as far as they need no libtorch; then a
# minute of fuzzing, where clang has its fuzzer, and what is for GPUs, where there is nvcc:
# of that the tests that need no GPU.
#
#   ./test.sh            all of it
#   ./test.sh release    only one preset: release, asan, tsan, fuzz or cuda
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
# Apart: where they are not known by these names, all else is still installed.
require_dependencies "${FUZZ_PACKAGES[@]}"

# count ATTRIBUTE REPORT: a number of the report's <testsuite>, whose attributes
# ctest writes one a line.
count() {
  sed -n "s/^.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

presets=(asan tsan release)
step="looking for clang's fuzzer"
if clang++ -fsanitize=fuzzer -x c++ -o /dev/null - 2>/dev/null <<<'
    extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'; then
  presets+=(fuzz)
else
  echo "clang++ cannot build fuzz targets here (packages clang and libclang-rt-dev): left out."
fi
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  presets+=(cuda)
else
  echo "There is no nvcc here: what runs on GPUs is left out."
fi
[ $# -gt 0 ] && presets=("$@")
passed=0
failed=0
skipped=0
status=0
for preset in "${presets[@]}"; do
  echo "== $preset"
  step="configuring preset $preset"
  quietly cmake --preset "$preset" -DCDDP_TESTS=ON
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
