#!/usr/bin/env bash
# Builds, tests and measures what runs on NVIDIA GPUs, on a machine that has one.
#
#   scripts/gpu_report.sh                  all of it, some 5 minutes on 16 cores
#   scripts/gpu_report.sh --no-build DIR   with the programs of an earlier build in DIR
#
# Writes results/gpu/DEVICE.json: what bench_cuda measured (selection, encoding, decoding;
# once with one large parameter, once with ResNet-50's), what PyTorch's topk takes where
# python3 has PyTorch, and how the tests and NVIDIA's compute-sanitizer ended. OUT=FOLDER
# writes there instead. Ends with the status of the first part that failed.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

tests=build/cuda/tests/cuda/cuda_tests
bench=build/cuda/bench/cuda/bench_cuda
if [ "${1:-}" = --no-build ]; then
  tests=$2/cuda_tests
  bench=$2/bench_cuda
elif [ $# -gt 0 ]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
else
  cmake --preset cuda
  cmake --build --preset cuda
fi
folder=${OUT:-results/gpu}
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# part NAME COMMAND...: runs it; notes how it ended and how long it took.
part() {
  local name=$1 start=$SECONDS rc=0
  shift
  echo "== $name"
  "$@" || rc=$?
  [ $rc -eq 0 ] || [ $status -ne 0 ] || status=$rc
  echo "$name $rc $((SECONDS - start))" >>"$work/parts"
}

part tests "$tests" --gtest_brief=1
part one_parameter "$bench" --json "$work/one_parameter.json"
part resnet50 "$bench" --shapes results/sync/sync-resnet50-p8-1gbit.shapes.txt \
  --ratios 0.01,0.001 --json "$work/resnet50.json"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  part torch python3 bench/peers/topk_torch.py --json "$work/torch.json"
else
  echo "python3 has no PyTorch that sees the GPU: at::topk is not measured."
fi
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [ -n "$sanitizer" ]; then
  # Of the tests that repeat much, one case; racecheck watches shared memory only, and takes the
  # longest.
  part memcheck timeout 150 "$sanitizer" --tool memcheck --error-exitcode 9 "$tests" \
    --gtest_brief=1 --gtest_filter='CudaCompressorTest.*:*Steps/1:-*AnyValues*:*ManyTiles*'
  part racecheck timeout 150 "$sanitizer" --tool racecheck --error-exitcode 9 "$tests" \
    --gtest_brief=1 --gtest_filter='*NonFinite*:*Regrouped*:*Decodes*:*Mean*:*ManyTies*'
else
  echo "No compute-sanitizer here: memcheck and racecheck are left out."
fi

python3 - "$work" "$folder" <<'PYTHON'
import datetime
import json
import pathlib
import re
import sys

work, folder = map(pathlib.Path, sys.argv[1:])
report = {"date": datetime.date.today().isoformat()}
for name in ("one_parameter", "resnet50", "torch"):
    path = work / f"{name}.json"
    if path.exists():
        report[name] = json.loads(path.read_text())
report["parts"] = [{"part": part, "exit_code": int(code), "seconds": int(seconds)}
                   for part, code, seconds in
                   (line.split() for line in (work / "parts").read_text().splitlines())]
for part in report["parts"]:
    print(f"{part['part']}: {'passed' if part['exit_code'] == 0 else 'FAILED'}, {part['seconds']} s")
if "one_parameter" in report:
    name = re.sub(r"[^a-z0-9]+", "-", report["one_parameter"]["device"].lower()).strip("-")
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"Written: {folder / name}.json")
PYTHON
exit $status
