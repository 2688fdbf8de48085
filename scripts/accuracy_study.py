#!/usr/bin/env python3
"""What compression costs in accuracy, over paired seeds, in one process per run (cddp bench
accuracy): SimpleCNN on MNIST, 3 epochs, 16 samples per worker and step; or a language model.

    scripts/accuracy_study.py memory   8 workers: dense, and each memory at 1% and 0.1%,
                                       values fp32
    scripts/accuracy_study.py split    8 workers: dense, and collective split with values
                                       int4 and owner budget 1 at 1% and 0.1%
    scripts/accuracy_study.py values   4 workers, memory dgc, 1%: each value codec
    scripts/accuracy_study.py transformer
                                       4 workers: a small Transformer with AdamW on a novel,
                                       dense and 1% with the defaults (memory residual, int4)

Options of cddp bench accuracy may follow. Each run's JSON is kept in the output folder
(runs/STUDY_study); runs that are there already are not repeated, so a study can be
stopped and started again; with other options choose another folder (--out). What
docs/measured.md shows is in results/STUDY_study. Ends with a
table of the mean paired difference to the first variant and its 95% interval (Student's
t), in summary.md.
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


def compressed(memory, ratio, *more):
    return ["--compress", "--memory", memory, "--ratio", ratio, *more]


# What all variants of a study have in common.
MNIST = ["--batch-size", "16", "--epochs", "3", "--lr", "0.05", "--schedule", "cosine"]
TEXT = ["--dataset", "text", "--model", "transformer", "--layers", "2", "--heads", "4",
        "--width", "64", "--context", "64", "--batch-size", "8", "--epochs", "12",
        "--optimizer", "adamw", "--lr", "0.002", "--weight-decay", "0.1",
        "--schedule", "cosine", "--lr-warmup-epochs", "1"]

# Workers, and the variants; the first one is what the others are compared with.
STUDIES = {
    "memory": (8, {
        "dense": [],
        **{f"{memory}-{ratio}": compressed(memory, ratio, "--values", "fp32")
           for memory in ("residual", "dgc", "none") for ratio in ("0.01", "0.001")},
        "dgc-0.001-adaptive": compressed("dgc", "0.001", "--values", "fp32",
                                         "--adaptive-ratio", "100"),
    }),
    "split": (8, {
        "dense": [],
        **{f"{memory}-{ratio}": compressed(memory, ratio, "--values", "int4",
                                           "--collective", "split", "--owner-budget", "1")
           for memory in ("dgc", "residual") for ratio in ("0.01", "0.001")},
        # The last layer (1280 weights) whole, too; the ratio falling to 1% in the first 47 of
        # 1,407 steps.
        **{f"dgc-{ratio}-{name}": compressed("dgc", ratio, "--values", "int4", "--collective",
                                             "split", "--owner-budget", "1", *flags)
           for ratio, name, flags in (("0.01", "whole-2048", ["--whole-limit", "2048"]),
                                      ("0.001", "whole-2048", ["--whole-limit", "2048"]),
                                      ("0.01", "warmup-47", ["--warmup-steps", "47"]))},
        # dgc with the other choice of momentum masking than its default for the ratio.
        **{f"dgc-{ratio}-masking-{masking}":
               compressed("dgc", ratio, "--values", "int4", "--collective", "split",
                          "--owner-budget", "1", "--momentum-masking", masking)
           for ratio, masking in (("0.01", "on"), ("0.001", "off"))},
    }),
    "transformer": (4, {
        "dense": [],
        "residual-0.01": ["--compress", "--ratio", "0.01"],
        **{f"residual-0.01-warmup-{epochs}": ["--compress", "--ratio", "0.01",
                                              "--warmup-epochs", epochs]
           for epochs in ("4", "8")},
    }),
    "values": (4, {
        **{values: compressed("dgc", "0.01", "--values", values)
           for values in ("fp32", "bf16", "int8", "int4", "sign")},
        "int4-stochastic": compressed("dgc", "0.01", "--values", "int4",
                                      "--stochastic-rounding"),
    }),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--cddp", default="build/release/cddp")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seeds", default=5, type=int, choices=range(1, 11))
    parser.add_argument("--jobs", default=os.cpu_count(), type=int, help="runs at a time")
    parser.add_argument("--only", nargs="*", help="some of the variants")
    arguments, options = parser.parse_known_args()
    workers, variants = STUDIES[arguments.study]
    of_text = arguments.study == "transformer"
    common = TEXT if of_text else MNIST
    out = arguments.out or pathlib.Path("runs") / f"{arguments.study}_study"
    out.mkdir(parents=True, exist_ok=True)
    chosen = arguments.only or list(variants)
    for name in chosen:
        if name not in variants:
            parser.error(f"no variant {name}; there are {', '.join(variants)}")

    def run(name, seed):
        report = out / f"{name}-seed{seed}.json"
        if report.exists():
            print(f"{name}, seed {seed}: trained before, {report}", flush=True)
            return
        print(f"{name}, seed {seed} ...", flush=True)
        subprocess.run(
            [arguments.cddp, "bench", "accuracy", "--workers", str(workers),
             *common, "--seed", str(seed), "--threads", "1", "--log-level", "error",
             "--json", str(report), *variants[name], *options], check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"})

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(run, name, seed)
                for seed in range(1, arguments.seeds + 1) for name in chosen]
        try:
            for done in concurrent.futures.as_completed(runs):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    def figure(name, seed):
        report = out / f"{name}-seed{seed}.json"
        key = "test_loss" if of_text else "test_accuracy_percent"
        return json.loads(report.read_text())[key] if report.exists() else None

    baseline = next(iter(variants))
    what, unit = ("validation loss (nats)", "%") if of_text else ("accuracy (%)", "points")
    table = [f"| | {what}, mean | difference to {baseline} ({unit}), mean | 95% interval "
             "| seeds |", "|---|---|---|---|---|"]
    for name in variants:
        pairs = [(figure(name, seed), figure(baseline, seed))
                 for seed in range(1, arguments.seeds + 1)]
        pairs = [pair for pair in pairs if None not in pair]
        if not pairs:
            continue
        differences = [100 * (ours / theirs - 1) if of_text else ours - theirs
                       for ours, theirs in pairs]
        row = [name, f"{statistics.mean(ours for ours, _ in pairs):.{3 if of_text else 2}f}"]
        if name == baseline:
            row += ["", ""]
        elif len(pairs) < 2:
            row += [f"{differences[0]:+.2f}", "one seed"]
        else:
            mean = statistics.mean(differences)
            half = T[len(pairs) - 1] * statistics.stdev(differences) / math.sqrt(len(pairs))
            row += [f"{mean:+.2f}", f"{mean - half:+.2f} to {mean + half:+.2f}"]
        table.append("| " + " | ".join(row + [str(len(pairs))]) + " |")
    text = "\n".join(table) + "\n"
    (out / "summary.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
