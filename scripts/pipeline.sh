#!/usr/bin/env bash
# The whole chain: one worker, several dense, several compressed at some ratios; a test of each
# model; pictures; one page of all.
#
#   scripts/pipeline.sh                                    SimpleCNN on MNIST, 2 workers
#   scripts/pipeline.sh --model resnet8 --dataset cifar10 --workers 4 --epochs 8
#   CDDP_RATIOS=0.01 CDDP_OUT=/data/run7 scripts/pipeline.sh --epochs 1
#
# Options are those of `cddp compare`. What is written lies in $CDDP_OUT (default: runs/pipeline-
# and the time), ratios are $CDDP_RATIOS (default: 0.1,0.01,0.001), the data sets in $CDDP_DATA
# (default: data). Takes build/release/cddp, or $CDDP.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
step="starting"
trap 'echo "pipeline.sh stopped while $step." >&2' ERR

cddp=${CDDP:-build/release/cddp}
data=${CDDP_DATA:-data}
out=${CDDP_OUT:-runs/pipeline-$(date +%Y%m%d-%H%M%S)}
ratios=${CDDP_RATIOS:-0.1,0.01,0.001}
if [ ! -x "$cddp" ]; then
  echo "There is no program $cddp: run ./quickstart.sh, or cmake --preset release and" >&2
  echo "cmake --build --preset release --target cddp; or name it with CDDP=PROGRAM." >&2
  exit 2
fi
workers=(--workers 2)
for argument in "$@"; do
  case $argument in --workers | --workers=*) workers=() ;; esac
done

step="training"
"$cddp" compare "${workers[@]}" --baseline --ratios "$ratios" --save-every 1 --keep 1 \
  --data-dir "$data" --log-dir "$out" "$@"

for run in "$out"/*/; do
  [ -d "$run/checkpoints" ] || continue
  step="testing $run"
  "$cddp" test --checkpoint "$run/checkpoints" --data-dir "$data"
done

step="drawing"
"$cddp" plot "$out"/*/
step="writing the report"
"$cddp" report "$out"/*-compare/ --output "$out/report.html"
echo "Everything is in $out; open $out/report.html"
