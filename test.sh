#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests: the release
# build, and under the sanitizers all rooms as far as they need no libtorch.
#
#   ./test.sh            all of it
#   ./test.sh release    only one preset: release, asan or tsan
set -euo pipefail
cd "$(dirname "$0")"
step="starting"
trap 'echo "test.sh stopped while $step." >&2' ERR
source scripts/dependencies.sh

step="installing packages"
require_dependencies "${TEST_PACKAGES[@]}"

presets=(asan tsan release)
[ $# -gt 0 ] && presets=("$@")
passed=0
failed=0
for preset in "${presets[@]}"; do
  echo "== $preset"
  step="configuring preset $preset"
  quietly cmake --preset "$preset" -DCDDP_TESTS=ON
  step="building preset $preset"
  cmake --build --preset "$preset"
  step="testing preset $preset"
  report=build/$preset/tests.xml
  rm -f "$report"
  ctest --preset "$preset" --output-junit "$PWD/$report" || true
  total=$(sed -n 's/.*<testsuite.* tests="\([0-9]*\)".*/\1/p; s/^[[:space:]]*tests="\([0-9]*\)".*/\1/p' "$report" | head -n 1)
  bad=$(sed -n 's/.* failures="\([0-9]*\)".*/\1/p; s/^[[:space:]]*failures="\([0-9]*\)".*/\1/p' "$report" | head -n 1)
  passed=$((passed + total - bad))
  failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
