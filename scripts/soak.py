#!/usr/bin/env python3
"""Trains for a long time on shaped links, and watches what must not grow: the memory and the open
files of each worker (reliability scorecard, row 30).

    scripts/soak.py                         8 workers at 1 Gbit/s for 10 minutes
    scripts/soak.py --minutes 480           a night
    scripts/soak.py --collective gather --workers 4

SimpleCNN on MNIST, 1% of the gradient, a checkpoint every 200 steps, an evaluation after each
epoch. At the end one worker gets SIGTERM: all must save and end with code 75 within 10 s. Growth is
from the median of the middle third to that of the last third, since caches fill at first. Ends with
1 when memory grows faster than --limit, when files stay open, or when a worker ends before. Needs
root and iproute2, for the lab of scripts/lab.sh.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAB = ROOT / "scripts" / "lab.sh"
NAME = "cddp-lab-soak"
EVERY_S = 5


def lab(*arguments, **more):
    return subprocess.Popen([LAB, *map(str, arguments)], env=os.environ | {"CDDP_LAB": NAME}, **more)


def workers(a):
    """The process of each rank that runs."""
    found = {}
    for rank in range(a.workers):
        pids = subprocess.run(["ip", "netns", "pids", f"{NAME}-{rank}"], capture_output=True,
                              text=True).stdout.split()
        for pid in pids:
            try:
                if pathlib.Path(f"/proc/{pid}/exe").resolve().name == os.path.basename(a.cddp):
                    found[rank] = int(pid)
            except OSError:
                pass  # it has ended
    return found


def sample(pid):
    """Its resident memory in MB, how many files it has open, and when."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kib = int(status.partition("VmRSS:")[2].split()[0])
    return kib * 1024 / 1e6, len(os.listdir(f"/proc/{pid}/fd")), time.monotonic()


def growth(samples):
    """MB per hour, and files, from the middle third to the last."""
    third = len(samples) // 3
    middle, last = samples[third:2 * third], samples[-third:]
    of = lambda part, key: statistics.median(s[key] for s in part)  # noqa: E731
    hours = (of(last, 2) - of(middle, 2)) / 3600
    mb = of(last, 0) - of(middle, 0)
    return mb / hours, max(s[1] for s in last) - max(s[1] for s in middle)


def watch(run, a):
    """The samples of each rank; None when the run has ended before its time."""
    samples = {rank: [] for rank in range(a.workers)}
    end = time.monotonic() + 60 * a.minutes
    said = time.monotonic()
    while time.monotonic() < end:
        time.sleep(EVERY_S)
        if run.poll() is not None:
            return None
        for rank, pid in workers(a).items():
            try:
                samples[rank].append(sample(pid))
            except (OSError, ValueError):
                pass  # it has just ended, which the next look at the run tells
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{max(0, end - said) / 60:.0f} minutes left; rank 0: {samples[0][-1][0]:.0f} MB, "
                  f"{samples[0][-1][1]} files", flush=True)
    return samples


def soak(a, folder):
    log = (folder / "log").open("w+")
    run = lab("run", "--", a.cddp, "train", "--data-dir", a.data_dir, "--collective",
              a.collective, *(["--compress"] if a.collective != "dense" else []), "--threads", 1, "--batch-size", 16, "--epochs", 1_000_000,
              "--max-train-samples", 20_000, "--max-test-samples", 1000, "--save-every-steps", 200,
              "--checkpoint-dir", folder / "checkpoints", "--log-dir", folder / "runs",
              "--interface", "eth0", "--json", folder / "report.json",
              stdout=subprocess.DEVNULL, stderr=log)
    try:
        samples = watch(run, a)
        code = None
        if samples:
            begin = time.monotonic()
            os.kill(workers(a)[a.workers - 1], signal.SIGTERM)
            code = run.wait(60)
            seconds = time.monotonic() - begin
    finally:
        if run.poll() is None:
            run.terminate()
            run.wait()
    if samples is None or code != 75:
        log.seek(0)
        sys.exit(f"soak.py: the training ended with {run.returncode}\n{log.read()[-2000:]}")
    history = json.loads(next((folder / "runs").glob("*/history.json")).read_text())
    steps = json.loads(next((folder / "runs").glob("*/summary.json")).read_text())["steps"]
    rows = []
    for rank, of_rank in samples.items():
        mb_per_hour, files = growth(of_rank)
        rows.append({"rank": rank, "mb_per_hour": mb_per_hour, "files": files,
                     "rss_mb": of_rank[-1][0], "open_files": of_rank[-1][1]})
    return {"minutes": a.minutes, "workers": a.workers, "rate": a.rate, "collective": a.collective,
            "epochs": len(history), "steps": steps, "seconds_to_stop": seconds,
            "test_accuracy_percent": history[-1]["test_accuracy_percent"], "ranks": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rate", default="1gbit", help="of the links, as for scripts/lab.sh")
    parser.add_argument("--collective", default="split")
    parser.add_argument("--limit", type=float, default=20, metavar="MB",
                        help="of growth in an hour; a night can be asked for 1 (default 20)")
    parser.add_argument("--cddp", default="build/release/cddp")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--json", type=pathlib.Path)
    a = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root, for the network namespaces of scripts/lab.sh")
    if a.minutes < 2 or a.workers < 2:
        parser.error("--minutes and --workers are numbers from 2")
    a.cddp, a.data_dir = os.path.realpath(a.cddp), os.path.realpath(a.data_dir)
    if not os.access(a.cddp, os.X_OK):
        parser.error(f"there is no program {a.cddp}; build it or name it with --cddp")
    if lab("up", a.workers, a.rate).wait() != 0:
        sys.exit(2)
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = soak(a, pathlib.Path(folder))
    finally:
        lab("down").wait()
    print(f"{report['steps']} steps, {report['epochs']} epochs, {report['test_accuracy_percent']:.2f}%; "
          f"stopped in {report['seconds_to_stop']:.1f} s")
    for row in report["ranks"]:
        print(f"rank {row['rank']}: {row['rss_mb']:.0f} MB, {row['mb_per_hour']:+.1f} MB an hour; "
              f"{row['open_files']} files, {row['files']:+d}")
    if a.json:
        a.json.write_text(json.dumps(report, indent=1) + "\n")
    bad = [row for row in report["ranks"] if row["mb_per_hour"] > a.limit or row["files"] > 0]
    return 1 if bad or report["seconds_to_stop"] > 10 else 0


if __name__ == "__main__":
    sys.exit(main())
