#!/usr/bin/env bash
# Line coverage of core, collective and their public headers, by their tests.
# Configures and builds the preset "coverage" (build/coverage), runs its tests and
# prints what gcovr finds. Fails when a test fails or when less than 90% is covered.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v gcovr > /dev/null; then
  if [[ $EUID -ne 0 ]] || ! command -v apt-get > /dev/null; then
    echo "coverage.sh needs gcovr: install the package gcovr, as root: apt-get install gcovr" >&2
    exit 1
  fi
  apt-get install -y gcovr
fi

# Ranks are threads: without atomic counters they lose counts of each other.
cmake --preset coverage -DCMAKE_CXX_FLAGS=-fprofile-update=atomic
cmake --build --preset coverage
# Counts of earlier runs would hide what these tests do not reach.
find build/coverage -name '*.gcda' -delete
ctest --preset coverage

gcovr --root . --object-directory build/coverage \
  --filter 'core/' --filter 'collective/' --filter 'include/cddp/' \
  --exclude-throw-branches --print-summary --fail-under-line 90 build/coverage
