#!/usr/bin/env bash
# Installs what is missing, builds, fetches MNIST and trains SimpleCNN with two
# workers, dense and compressed: accuracy, time and bytes on the wire in one table.
#
#   ./quickstart.sh [options of `cddp compare`, such as --epochs 1]
set -Eeuo pipefail
cd "$(dirname "$0")"
step="starting"
trap 'echo "quickstart.sh stopped while $step." >&2' ERR
source scripts/dependencies.sh

step="installing packages"
require_dependencies

step="configuring"
[ -f build/release/build.ninja ] || echo "Configuring ..."
quietly cmake --preset release -DCDDP_TESTS=OFF

step="building"
[ -x build/release/cddp ] || echo "Building; the first time takes some minutes ..."
cmake --build --preset release --target cddp

cddp=build/release/cddp
step="fetching the data"
dataset=mnist
unavailable=2 # the exit code of cddp for what cannot be reached, read or written
code=0
$cddp data fetch mnist || code=$?
if [ "$code" -eq "$unavailable" ]; then
  echo "MNIST could not be had, for the reason above: going on with Fashion-MNIST"
  echo "(accuracies are lower there)."
  dataset=fashion-mnist
  $cddp data fetch fashion-mnist
elif [ "$code" -ne 0 ]; then
  echo "quickstart.sh stopped while $step." >&2
  exit "$code"
fi

step="training"
plots=()
command -v gnuplot > /dev/null || plots=(--no-plots)
# Not --collective auto: on one machine it may find that dense steps are shorter.
$cddp compare --dataset $dataset --workers 2 --epochs 4 --lr 0.05 --schedule cosine \
  --collective gather "${plots[@]}" "$@"
