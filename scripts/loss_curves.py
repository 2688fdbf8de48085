#!/usr/bin/env python3
"""Does the loss of `cddp train` fall as that of Python's PyTorch? ResNet-18 on CIFAR-10, one
worker, the same settings on both sides: SGD with momentum 0.9, a constant rate, no
augmentation, the same images in another order, another initialisation from the same
distributions.

    scripts/loss_curves.py                       300 steps of 16 images, two seeds each
    scripts/loss_curves.py --seeds 1 --steps 50

Writes loss_curves.json, .dat, .gp and .png to results/loss_curves, or --out DIR. Needs
python3-torch, python3-torchvision, gnuplot, and the data (`cddp data fetch cifar10`).
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOW = 25  # steps that the curves are averaged over

PLOT = """set terminal pngcairo size 1500,900 font ",20"
set output "loss_curves.png"
set title "ResNet-18 on CIFAR-10, batches of {batch}: training loss, mean of {window} steps"
set xlabel "step"
set ylabel "cross-entropy loss (nats)"
set yrange [0:*]
set grid lc rgb "#dddddd"
set key outside bottom center horizontal
plot {curves}
"""


def run(command):
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-800:]}")


def python_losses(arguments, seed, folder):
    report = folder / "python.json"
    run([arguments.python, ROOT / "bench/peers/train_peer.py", "--model", "resnet18",
         "--cifar10", arguments.data_dir / "cifar10", "--batch-size", arguments.batch_size,
         "--threads", arguments.threads, "--steps", arguments.steps, "--warmup", 0,
         "--lr", arguments.lr, "--seed", seed, "--json", report])
    return json.loads(report.read_text())["losses"]


def cddp_losses(arguments, seed, folder):
    run([arguments.cddp, "train", "--model", "resnet18", "--dataset", "cifar10",
         "--data-dir", arguments.data_dir, "--augment", "none", "--epochs", 1, "--workers", 1,
         "--threads", arguments.threads, "--batch-size", arguments.batch_size,
         "--max-train-samples", arguments.steps * arguments.batch_size,
         "--max-test-samples", arguments.batch_size, "--lr", arguments.lr, "--momentum", 0.9,
         "--weight-decay", 0, "--schedule", "constant", "--seed", seed, "--log-every", 1,
         "--log-dir", folder])
    log = next(folder.glob("*/metrics.jsonl")).read_text().splitlines()
    return [record["loss"] for record in map(json.loads, log) if record["kind"] == "step"]


def smoothed(losses):
    return [statistics.fmean(losses[max(0, i + 1 - WINDOW):i + 1]) for i in range(len(losses))]


def draw(arguments, runs):
    curves = {name: smoothed(losses) for name, losses in runs.items()}
    rows = zip(*curves.values())
    (arguments.out / "loss_curves.dat").write_text(
        "# step, then the smoothed loss of: " + ", ".join(curves) + "\n" +
        "".join(f"{step} {' '.join(f'{v:.5f}' for v in row)}\n" for step, row in enumerate(rows, 1)))
    lines = ", ".join(
        f'"loss_curves.dat" using 1:{column} with lines lw 3 '
        f'lc rgb "{"#2166ac" if name.startswith("cddp") else "#ef8a62"}" dt {1 + (column % 2)} '
        f'title "{name}"' for column, name in enumerate(curves, 2))
    (arguments.out / "loss_curves.gp").write_text(
        PLOT.format(batch=arguments.batch_size, window=WINDOW, curves=lines))
    subprocess.run(["gnuplot", "loss_curves.gp"], cwd=arguments.out, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cddp", default=ROOT / "build/release/cddp")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--data-dir", type=pathlib.Path, default=ROOT / "data")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "results/loss_curves")
    arguments = parser.parse_args()
    arguments.cddp = os.path.realpath(arguments.cddp)
    arguments.data_dir = arguments.data_dir.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = {}
    for seed in range(1, arguments.seeds + 1):
        for name, losses_of in (("cddp", cddp_losses), ("Python", python_losses)):
            with tempfile.TemporaryDirectory() as folder:
                losses = losses_of(arguments, seed, pathlib.Path(folder))
            runs[f"{name}, seed {seed}"] = losses
            last = losses[-WINDOW:]
            print(f"{name}, seed {seed}: mean loss of the last {len(last)} of {len(losses)} steps "
                  f"{statistics.fmean(last):.3f}", flush=True)
    report = {"date": datetime.date.today().isoformat(), "steps": arguments.steps,
              "batch_size": arguments.batch_size, "lr": arguments.lr, "losses": runs}
    (arguments.out / "loss_curves.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(arguments, runs)


if __name__ == "__main__":
    main()
