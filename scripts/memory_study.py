#!/usr/bin/env python3
"""What the memories cost in accuracy: SimpleCNN on MNIST, 8 workers of 16 samples that
take turns in one process, 3 epochs, dense and compressed with each memory at two
ratios, over paired seeds.

    scripts/memory_study.py [--seeds 5] [--jobs 2] [--out DIR] [options of cddp bench accuracy]

Each run's JSON is kept in the output folder; runs that are there already are not
repeated, so the study can be stopped and started again. Ends with a table of the
mean paired difference to dense and its 95% interval (Student's t), in summary.md.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

# Student's t, 97.5%, by degrees of freedom.
T = [None, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]

VARIANTS = {"dense": []}
for memory in ("residual", "dgc", "none"):
    for ratio in ("0.01", "0.001"):
        VARIANTS[f"{memory}-{ratio}"] = ["--compress", "--memory", memory, "--ratio", ratio]
VARIANTS["dgc-0.001-adaptive"] = VARIANTS["dgc-0.001"] + ["--adaptive-ratio", "100"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/cddp")
    parser.add_argument("--out", default="results/memory_study", type=pathlib.Path)
    parser.add_argument("--seeds", default=5, type=int, choices=range(1, 11))
    parser.add_argument("--jobs", default=os.cpu_count(), type=int, help="runs at a time")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    arguments, options = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    def run(name, seed):
        report = arguments.out / f"{name}-seed{seed}.json"
        if report.exists():
            return
        print(f"{name}, seed {seed} ...", flush=True)
        subprocess.run(
            [arguments.program, "bench", "accuracy", "--workers", "8", "--batch-size", "16",
             "--epochs", "3", "--lr", "0.05", "--schedule", "cosine", "--seed", str(seed),
             "--threads", "1", "--log-level", "error", "--json", str(report),
             *VARIANTS[name], *options], check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"})

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(run, name, seed)
                for seed in range(1, arguments.seeds + 1) for name in arguments.only]
        for done in concurrent.futures.as_completed(runs):
            done.result()

    table = ["| | accuracy (%), mean | difference to dense (points), mean | 95% interval | seeds |",
             "|---|---|---|---|---|"]
    for name in VARIANTS:
        accuracies, differences = [], []
        for seed in range(1, arguments.seeds + 1):
            report = arguments.out / f"{name}-seed{seed}.json"
            dense = arguments.out / f"dense-seed{seed}.json"
            if report.exists() and dense.exists():
                accuracies.append(json.loads(report.read_text())["test_accuracy_percent"])
                differences.append(
                    accuracies[-1] - json.loads(dense.read_text())["test_accuracy_percent"])
        if not accuracies:
            continue
        row = [name, f"{statistics.mean(accuracies):.2f}"]
        if name == "dense":
            row += ["", ""]
        elif len(differences) < 2:
            row += [f"{differences[0]:+.2f}", "one seed"]
        else:
            mean = statistics.mean(differences)
            half = T[len(differences) - 1] * statistics.stdev(differences) / math.sqrt(
                len(differences))
            row += [f"{mean:+.2f}", f"{mean - half:+.2f} to {mean + half:+.2f}"]
        table.append("| " + " | ".join(row + [str(len(accuracies))]) + " |")
    text = "\n".join(table) + "\n"
    (arguments.out / "summary.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
