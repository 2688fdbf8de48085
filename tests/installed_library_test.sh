#!/usr/bin/env bash
# That another project can use the library: it installs, find_package(cddp) finds all that it
# needs, and examples/own_model, which was built already, learns with two workers.
#
#   installed_library_test.sh BUILD_FOLDER OWN_MODEL
set -euo pipefail
build=$1
own_model=$2
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
port=$((20000 + RANDOM % 10000))
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/installed" >"$work/log" || { cat "$work/log"; exit 1; }
cmake -S "$source/examples/own_model" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/installed" \
  >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/installed/bin/cddp" --version

# What needs no libtorch is compiled and linked; own_model has the rest.
mkdir "$work/small"
cat >"$work/small/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
find_package(cddp REQUIRED)
add_executable(small small.cc)
target_link_libraries(small PRIVATE cddp::collective)
EOF
for header in "$source"/include/cddp/*.h; do
  echo "#include \"cddp/$(basename "$header")\""
done >"$work/small/small.cc"
cat >>"$work/small/small.cc" <<'EOF'
int main() {
  std::unique_ptr<cddp::Collective> collective;
  auto transports = cddp::MakeInProcessTransports(1);
  cddp::ThrowIfError(cddp::MakeSplitCollective(transports[0].get(), {}, 1, &collective));
  return collective->name() == "split" ? 0 : 1;
}
EOF
{ cmake -S "$work/small" -B "$work/small/build" -DCMAKE_PREFIX_PATH="$work/installed" &&
  cmake --build "$work/small/build"; } >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/small/build/small"

RANK=1 WORLD_SIZE=2 MASTER_PORT=$port "$own_model" &
RANK=0 WORLD_SIZE=2 MASTER_PORT=$port "$own_model" | tee "$work/said"
wait $!
# Untrained it has 0.5 and more.
awk -F '[ ,]+' '/^step/ { lines++; loss = $4; sent = $5 }
                END { exit lines == 3 && loss < 0.2 && sent < 8400 ? 0 : 1 }' "$work/said"
