#!/usr/bin/env bash
# The whole chain: one worker, several dense, several compressed at some ratios; a test of each
# model; pictures; one page of all.
#
#   scripts/pipeline.sh                                    SimpleCNN on MNIST, 2 workers
#   scripts/pipeline.sh --model resnet8 --dataset cifar10 --workers 4 --epochs 8
#   scripts/pipeline.sh --ratios 0.01 --log-dir /data/run7 --epochs 1
#
# Options are those of `cddp compare`; without them --workers is 2, --ratios 0.1,0.01,0.001,
# --log-dir runs/pipeline- and the time, a new folder for all that is written, and --data-dir
# data. These, and --text-file, are flags here: in a --config or --set they are refused. Takes
# build/release/cddp, or $CDDP.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
step="starting"
trap 'echo "pipeline.sh stopped while $step." >&2' ERR

cddp=${CDDP:-build/release/cddp}
data=data
out=runs/pipeline-$(date +%Y%m%d-%H%M%S)
if [ ! -x "$cddp" ]; then
  echo "There is no program $cddp: run ./quickstart.sh, or cmake --preset release and" >&2
  echo "cmake --build --preset release --target cddp; or name it with CDDP=PROGRAM." >&2
  exit 2
fi
workers=(--workers 2)
ratios=(--ratios 0.1,0.01,0.001)
text=()
own='workers|ratios|log[-_]dir|data[-_]dir|text[-_]file'

# refuse WHERE SETTING: if the setting is one of the pipeline's own.
refuse() {
  if [[ $2 =~ ^($own)[=:] ]]; then
    echo "$1 has $2: give that as --${BASH_REMATCH[1]//_/-}" >&2
    exit 2
  fi
}

# read_config FILE: refuses it if it has one. What else is wrong with it, compare says.
read_config() {
  [ -r "$1" ] || return 0
  while IFS= read -r line; do
    refuse "$1" "$line"
  done < "$1"
}

flag=
for argument in "$@"; do
  case $flag in
    --data-dir) data=$argument ;;
    --log-dir) out=$argument ;;
    --text-file) text=(--text-file "$argument") ;;
    --set) refuse --set "$argument" ;;
    --config) read_config "$argument" ;;
  esac
  flag=$argument
  case $argument in
    --workers | --workers=*) workers=() ;;
    --ratios | --ratios=*) ratios=() ;;
    --data-dir=*) data=${argument#*=} ;;
    --log-dir=*) out=${argument#*=} ;;
    --text-file=*) text=(--text-file "${argument#*=}") ;;
    --set=*) refuse --set "${argument#*=}" ;;
    --config=*) read_config "${argument#*=}" ;;
  esac
done
if compgen -G "$out/*/" > /dev/null; then
  echo "$out holds folders already: the pictures and the report would be of them, too." >&2
  echo "Name another one with --log-dir." >&2
  exit 2
fi

step="training"
"$cddp" compare "${workers[@]}" "${ratios[@]}" --baseline --save-every 1 --keep 1 \
  --data-dir "$data" --log-dir "$out" "$@"

for run in "$out"/*/; do
  [ -d "$run/checkpoints" ] || continue
  step="testing $run"
  "$cddp" test --checkpoint "$run/checkpoints" --data-dir "$data" "${text[@]}"
done

step="drawing"
"$cddp" plot "$out"/*/
step="writing the report"
"$cddp" report "$out"/*-compare/ --output "$out/report.html"
echo "Everything is in $out; open $out/report.html"
