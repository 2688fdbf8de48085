#!/usr/bin/env python3
"""Images per second of `cddp train`: with one worker against Python's PyTorch on the same
libtorch, and with two local workers of one thread against one of two threads.

    scripts/throughput_study.py                         SimpleCNN, ResNet-18, ResNet-50
    scripts/throughput_study.py --models simple_cnn --rounds 5

Rounds alternate the systems; each figure is the median over rounds of what the median step
makes. Both sides train with SGD and momentum, in float32, with the memory format that is
faster for them. Python's data are random and lie ready in memory; cddp reads and augments
its own. Writes DIR/throughput.json and throughput.md. Needs python3-torch and
python3-torchvision, and the data (`cddp data fetch mnist cifar10`).
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {"simple_cnn": ("mnist", 64, 300), "resnet18": ("cifar10", 64, 8),
          "resnet50": ("cifar10", 32, 6)}
THREADS = 2


def run(command):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        done = subprocess.run([*map(str, command), "--json", str(report)], cwd=ROOT,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n"
                     f"{done.stderr[-800:]}")
        return json.loads(report.read_text())


def systems_of(model, arguments):
    """What is measured: a name -> (command, images of a step)."""
    dataset, batch, steps = MODELS[model]
    python = [arguments.python, ROOT / "bench/peers/train_peer.py", "--model", model,
              "--batch-size", batch, "--threads", THREADS, "--warmup", 0, "--steps", steps + 3]

    def cddp(workers, threads, per_worker, *flags):
        return [arguments.cddp, "train", "--model", model, "--dataset", dataset, "--epochs", 1,
                "--workers", workers, "--threads", threads, "--batch-size", per_worker,
                "--max-train-samples", batch * (steps + 3), "--max-test-samples", batch,
                "--log-dir", arguments.log_dir, *flags]

    systems = {"python": (python, batch),
               "python, channels last": ([*python, "--channels-last"], batch),
               "cddp": (cddp(1, THREADS, batch), batch),
               "cddp, 2 workers": (cddp(2, 1, batch // 2), batch)}
    if model != "simple_cnn":  # which chooses for itself
        systems["cddp, channels last"] = (cddp(1, THREADS, batch, "--channels-last"), batch)
        systems["cddp, 2 workers, channels last"] = (cddp(2, 1, batch // 2, "--channels-last"),
                                                     batch)
    return systems


def summary_of(model, runs):
    images = {system: statistics.median(values) for system, values in runs.items()}
    best = {side: max(value for system, value in images.items() if test(system))
            for side, test in (("python", lambda s: s.startswith("python")),
                               ("cddp", lambda s: s.startswith("cddp") and "workers" not in s),
                               ("workers", lambda s: "workers" in s))}
    return {"model": model, "images_per_s": images,
            "cddp_to_python": best["cddp"] / best["python"],
            "two_workers_to_one": best["workers"] / best["cddp"]}


def table(report):
    lines = [f"Images per second, medians of {report['rounds']} alternated rounds; "
             f"{report['machine']}; {report['date']}; PyTorch {report['torch']}; each side in the "
             "memory format that is faster for it.", "",
             "| model | batch | Python, 2 threads | cddp, 2 threads | of Python's "
             "| cddp, 2 workers of 1 thread | of one worker's |", "|---|---|---|---|---|---|---|"]
    for entry in report["models"]:
        images = entry["images_per_s"]
        python = max(v for k, v in images.items() if k.startswith("python"))
        one = max(v for k, v in images.items() if k.startswith("cddp") and "workers" not in k)
        two = max(v for k, v in images.items() if "workers" in k)
        lines.append(f"| {entry['model']} | {MODELS[entry['model']][1]} | {python:.4g} | {one:.4g} "
                     f"| {entry['cddp_to_python']:.2f} | {two:.4g} "
                     f"| {entry['two_workers_to_one']:.2f} |")
    return "\n".join(lines) + "\n"


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cddp", default=ROOT / "build/release/cddp")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "results/throughput")
    arguments = parser.parse_args()
    arguments.cddp = os.path.realpath(arguments.cddp)
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "date": datetime.date.today().isoformat(), "torch": None,
              "rounds": arguments.rounds, "threads": THREADS, "models": []}
    with tempfile.TemporaryDirectory() as log_dir:
        arguments.log_dir = log_dir
        for model in arguments.models:
            systems = systems_of(model, arguments)
            runs = {system: [] for system in systems}
            for number in range(arguments.rounds):
                order = list(systems) if number % 2 == 0 else list(reversed(systems))
                for system in order:
                    command, images = systems[system]
                    result = run(command)
                    runs[system].append(1e3 * images / result["step_ms_median"])
                    report["torch"] = result.get("torch", report["torch"])
                    print(f"{model}, round {number + 1}, {system}: {runs[system][-1]:.4g} images/s",
                          flush=True)
            report["models"].append({**summary_of(model, runs), "runs": runs})
            (arguments.out / "throughput.json").write_text(json.dumps(report, indent=1) + "\n")
            (arguments.out / "throughput.md").write_text(table(report))
    print(table(report))


if __name__ == "__main__":
    main()
