#!/usr/bin/env python3
"""What `cddp train --device cuda` does on this machine's GPU; several workers share it, over Gloo.

    scripts/gpu_training.py                      all parts, some 8 minutes on an H200
    scripts/gpu_training.py --parts throughput   one of: replicas, throughput, overhead,
                                                 accuracy, cifar10

replicas    SimpleCNN with each collective and 1, 2 and 4 workers; the program itself ends with an
            error where replicas are not bit-identical
throughput  images per second of ResNet-18 (bf16, channels last, one worker) against Python's
            PyTorch, whose random images lie ready in the GPU's memory; alternated rounds
overhead    a step of ResNet-18 with all of a worker's compression against a dense one: in buckets
            as usual, and in one, where nothing of it is hidden behind backward; alternated rounds
accuracy    SimpleCNN on MNIST, 3 epochs, 4 workers of 16 images and 2 of 32: dense, and 1% and
            0.1% with dgc, gather and int4; paired seeds; --jobs runs at a time
cifar10     ResNet-18, bf16, 2 workers: dense and 1%

Needs a cddp with CUDA (docs/platforms.md) and the data (`cddp data fetch mnist cifar10`). Writes
DIR/DEVICE-training.json, after every run.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["replicas", "throughput", "overhead", "accuracy", "cifar10"]
COMPRESSED = ["--compress", "--memory", "residual", "--ratio", "0.01", "--values", "int4"]
RESNET = ["--model", "resnet18", "--dataset", "cifar10", "--channels-last", "--amp", "bf16",
          "--schedule", "cosine", "--lr", "0.1"]


class Study:
    def __init__(self, arguments):
        self.arguments = arguments
        name = re.sub(r"[^a-z0-9]+", "-", arguments.device_name.lower()).strip("-")
        self.path = arguments.out / f"{name}-training.json"
        # Parts that are not run keep what there is of them.
        before = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.report = {part: entries for part, entries in before.items()
                       if part in PARTS and part not in arguments.parts}
        dates = before.get("dates", dict.fromkeys(self.report, before.get("date")))
        dates |= dict.fromkeys(arguments.parts, datetime.date.today().isoformat())
        self.report |= {"dates": dates, "device": arguments.device_name}
        self.failed = False
        self.adding = threading.Lock()
        self.running = set()

    def run(self, command):
        """The command's JSON report and the seconds it took; None where it failed."""
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.json"
            command = [*map(str, command), "--json", str(report)]
            start = time.monotonic()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True, start_new_session=True)
            self.running.add(process)
            try:
                errors = process.communicate(timeout=300)[1]
                code = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the workers, too
                code, errors = "no end within 300 s", process.communicate()[1]
            self.running.discard(process)
            if code != 0:
                self.failed = True
                print(f"FAILED ({code}): {' '.join(command)}\n{errors[-1500:]}", flush=True)
                return None
            return {**json.loads(report.read_text()), "seconds": time.monotonic() - start}

    def stop(self):
        """Ctrl-C does not reach sessions of their own."""
        for process in list(self.running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def train(self, *options):
        a = self.arguments
        return self.run([a.cddp, "train", "--device", "cuda", "--log-dir", a.log_dir,
                         "--data-dir", a.data_dir, "--quiet", *options])

    def add(self, part, entry):
        with self.adding:
            print(part, json.dumps(entry), flush=True)
            self.report.setdefault(part, []).append(entry)
            self.path.write_text(json.dumps(self.report, indent=1) + "\n")

    def replicas(self):
        variants = {"dense": [], **{c: [*COMPRESSED, "--collective", c]
                                    for c in ("gather", "split", "auto")}}
        for workers in (1, 2, 4):
            for name, flags in variants.items():
                done = self.train("--model", "simple_cnn", "--dataset", "mnist", "--epochs", 1,
                                  "--workers", workers, "--batch-size", 64 // workers,
                                  "--max-train-samples", 19200, *flags)
                if done:
                    self.add("replicas", {
                        "workers": workers, "collective": name, **{key: done[key] for key in (
                            "test_accuracy_percent", "step_ms_median", "tx_bytes_per_step",
                            "parameters_xxh3", "seconds")}})

    def alternated(self, part, systems, **what):
        """Medians over rounds of the median step of each system, whose commands `systems` has."""
        steps = {name: [] for name in systems}
        phases = {}  # of the last round, means of its steps; Python's peer has none
        for number in range(self.arguments.rounds):
            for name in (list(systems) if number % 2 == 0 else reversed(list(systems))):
                done = systems[name]()
                if done is None:
                    return
                steps[name].append(done["step_ms_median"])
                if "history" in done:
                    phases[name] = {key: done["history"][-1][key] for key in (
                        "data_ms", "forward_ms", "backward_ms", "exposed_ms", "optimizer_ms")}
        self.add(part, {**what, "step_ms": {n: statistics.median(v) for n, v in steps.items()},
                        "rounds": steps, "phases": phases})

    def resnet(self, batch, *flags):
        return self.train(*RESNET, "--epochs", 1, "--workers", 1, "--batch-size", batch,
                          "--max-train-samples", min(50000, batch * 100),
                          "--max-test-samples", 1000, *flags)

    def throughput(self):
        for batch in (128, 512):
            python = [self.arguments.python, ROOT / "bench/peers/train_peer.py", "--model",
                      "resnet18", "--batch-size", batch, "--steps", 60, "--warmup", 20,
                      "--device", "cuda", "--amp", "bf16", "--channels-last"]
            self.alternated("throughput", {"python": lambda: self.run(python),
                                           "cddp": lambda: self.resnet(batch)}, batch=batch)

    def overhead(self):
        for batch in (128, 512):
            compressed = [*COMPRESSED, "--collective", "gather"]
            self.alternated("overhead", {
                "dense": lambda: self.resnet(batch),
                "compressed": lambda: self.resnet(batch, *compressed),
                "compressed_in_one_bucket": lambda: self.resnet(batch, *compressed,
                                                                "--bucket-mb", 1000)}, batch=batch)

    def accuracy(self):
        dgc = ["--compress", "--memory", "dgc", "--collective", "gather", "--values", "int4"]
        variants = {"dense": [], "1%": [*dgc, "--ratio", "0.01"], "0.1%": [*dgc, "--ratio", "0.001"]}

        def train(run):
            seed, workers, name = run
            done = self.train("--model", "simple_cnn", "--dataset", "mnist", "--epochs", 3,
                              "--workers", workers, "--batch-size", 64 // workers, "--lr", "0.05",
                              "--schedule", "cosine", "--seed", seed, *variants[name])
            if done:
                self.add("accuracy", {"workers": workers, "seed": seed, "variant": name,
                                      **{key: done[key] for key in (
                                          "test_accuracy_percent", "tx_bytes_per_step")}})

        runs = [(seed, workers, name) for workers in (4, 2)
                for seed in range(1, self.arguments.seeds + 1) for name in variants]
        with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
            try:
                list(pool.map(train, runs))
            except BaseException:
                self.stop()  # before the pool waits for them
                raise

    def cifar10(self):
        for name, flags in (("dense", []), ("1%", [*COMPRESSED, "--collective", "gather"])):
            done = self.train(*RESNET, "--epochs", self.arguments.epochs, "--workers", 2,
                              "--batch-size", 128, "--weight-decay", "0.0005", *flags)
            if done:
                self.add("cifar10", {"variant": name, "epochs": self.arguments.epochs, **{
                    key: done[key] for key in ("test_accuracy_percent", "tx_bytes_per_step",
                                               "step_ms_median", "images_per_s", "seconds")}})


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=3, help="of the part accuracy, at a time")
    parser.add_argument("--epochs", type=int, default=8, help="of the part cifar10")
    parser.add_argument("--cddp", default=ROOT / "build/release/cddp")
    parser.add_argument("--python", default="python3")
    parser.add_argument("--data-dir", default=ROOT / "data")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "results/gpu")
    arguments = parser.parse_args()
    arguments.cddp = os.path.realpath(arguments.cddp)
    arguments.data_dir = os.path.realpath(arguments.data_dir)
    try:
        arguments.device_name = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], check=True,
            capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        sys.exit(f"gpu_training.py: nvidia-smi names no GPU ({error}); run it on a machine with one")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as log_dir:
        arguments.log_dir = log_dir
        study = Study(arguments)
        try:
            for part in arguments.parts:
                getattr(study, part)()
        finally:
            study.stop()
    sys.exit(1 if study.failed else 0)


if __name__ == "__main__":
    main()
