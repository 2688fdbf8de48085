#!/usr/bin/env python3
"""What PyTorch takes on a GPU for selection: at::topk on |g|, and the pipeline that the usual
compressors are made of (add the residual, topk, gather the values, clear what is sent).

    bench/peers/topk_torch.py --elements 25557032 --ratio 0.01 --json FILE
"""
import argparse
import json
import math
import statistics
import sys

import torch


def microseconds(work):
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    stop.record()
    stop.synchronize()
    return 1000 * start.elapsed_time(stop)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=25_557_032)
    parser.add_argument("--ratio", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("topk_torch.py: PyTorch sees no CUDA device here")
    k = max(1, math.ceil(arguments.elements * arguments.ratio - 1e-6))
    torch.manual_seed(1)
    gradient = torch.randn(arguments.elements, device="cuda")
    residual = torch.zeros_like(gradient)
    magnitudes = torch.empty_like(gradient)
    times = {"topk": [], "topk_of_magnitudes": [], "pipeline": []}

    def pipeline():
        residual.add_(gradient)
        indices = torch.topk(residual.abs(), k, sorted=False).indices
        values = residual[indices]
        residual[indices] = 0
        return values

    for step in range(10 + arguments.steps):
        gradient.mul_(0.9).add_(torch.randn_like(gradient), alpha=0.436)
        torch.abs(gradient, out=magnitudes)
        measured = {"topk": microseconds(lambda: torch.topk(magnitudes, k, sorted=False)),
                    "topk_of_magnitudes": microseconds(
                        lambda: torch.topk(gradient.abs(), k, sorted=False)),
                    "pipeline": microseconds(pipeline)}
        if step >= 10:
            for name, time in measured.items():
                times[name].append(time)
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
              "elements": arguments.elements, "ratio": arguments.ratio, "steps": arguments.steps,
              **{f"{name}_us_median": statistics.median(values) for name, values in times.items()}}
    print(f"PyTorch {report['torch']}, {report['elements']} elements, {arguments.ratio:g}: "
          + ", ".join(f"{name} {statistics.median(values):.0f} us" for name, values in times.items()))
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(report, out, indent=1)


if __name__ == "__main__":
    main()
