#!/usr/bin/env python3
"""Kills trainings at random moments and lets them go on: do they end as if nothing had been?

Each trial trains with --resume auto and is killed (SIGKILL, every process) at random
moments, the given number of times, then runs to its end. Its parameters' hash must be that
of the run that was never interrupted.

    scripts/resume_study.py                      20 trials dense, 20 compressed
    scripts/resume_study.py --trials 3 --kills 1 --json FILE

Ends with 1 when a trial differs.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

WAYS = {
    "dense": [],
    "residual, gather": ["--compress", "--collective", "gather", "--memory", "residual", "--momentum", "0"],
    "dgc, split": ["--compress", "--collective", "split"],
    "dgc, auto, with the plan": ["--compress", "--collective", "auto"],
}


def run(arguments, folder, kill_after=None):
    """Trains in `folder`; returns the report, or None when it was killed before its end."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    process = subprocess.Popen(arguments + ["--json", str(report)], cwd=folder, start_new_session=True,
                               stderr=open(folder / "log", "ab"))
    try:
        code = process.wait(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
    except BaseException:  # Ctrl-C does not reach a session of its own
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if code != 0:
        sys.exit(f"{' '.join(arguments)} ended with {code}; see {folder / 'log'}")
    return json.loads(report.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cddp", default="build/release/cddp")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--trials", type=int, default=20, help="of each way")
    parser.add_argument("--kills", type=int, default=2, help="in each trial, at most")
    parser.add_argument("--ways", nargs="*", default=["dense", "dgc, split"], choices=WAYS, metavar="WAY",
                        help=f"of: {'; '.join(WAYS)}")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    results = {}
    for way in options.ways:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            base = [os.path.abspath(options.cddp), "train", "--data-dir", os.path.abspath(options.data_dir),
                    "--workers", "2", "--threads", "1", "--epochs", "2", "--max-train-samples", "4000",
                    "--max-test-samples", "500",
                    *WAYS[way]]
            start = time.monotonic()
            whole = run(base + ["--save-every", "0"], folder)
            length = time.monotonic() - start
            if way.endswith("plan"):
                plan = next(folder.glob("runs/*/plan.json"))
                base += ["--plan", str(plan)]
            equal = killed = 0
            for trial in range(options.trials):
                checkpoints = folder / "checkpoints"
                shutil.rmtree(checkpoints, ignore_errors=True)
                resumed = base + ["--checkpoint-dir", str(checkpoints), "--resume", "auto",
                                  "--save-every-steps", str(moments.randint(1, 9))]
                report = None
                for _ in range(options.kills):
                    report = run(resumed, folder, moments.uniform(0.3, 1.1) * length)
                    killed += report is None
                    if report is not None:
                        break
                report = report or run(resumed, folder)
                same = report["parameters_xxh3"] == whole["parameters_xxh3"]
                equal += same
                print(f"{way}: trial {trial + 1}: {'equal' if same else 'DIFFERENT'}", flush=True)
            results[way] = {"trials": options.trials, "equal": equal, "kills": killed,
                            "parameters_xxh3": whole["parameters_xxh3"]}
            print(f"{way}: {equal} of {options.trials} equal, {killed} kills", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(r["equal"] == r["trials"] for r in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
