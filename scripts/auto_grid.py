#!/usr/bin/env python3
"""Whether --collective auto is ever slower than the best fixed choice: scripts/sync_study.py
over models, workers and links, five alternated rounds in each cell.

    scripts/auto_grid.py                      all 18 cells, about an hour on 2 cores
    scripts/auto_grid.py --rates none --models simple_cnn

In each cell auto is compared with our dense, gather and split and with PyTorch's own
overlapped DDP over Gloo: by the medians of all rounds, and round by round, which leaves
out what changed from one to the next. Cells that the output folder has already are not
repeated, and stay in the table: results/auto_grid has all of those that docs/measured.md shows.
Needs what sync_study.py needs. Writes auto_grid.md and auto_grid.json, and what sync_study.py
writes for each cell.
"""
import argparse
import collections
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXED = ["cddp-dense", "cddp-gather", "cddp-split", "ddp-dense"]
GRADIENTS = {"simple_cnn": 421_642, "resnet18": 11_689_512, "resnet50": 25_557_032}
COMPRESSED_STEPS = {"simple_cnn": 1000, "resnet18": 100, "resnet50": 40}  # some 4 seconds
WORKERS = [2, 4]
MBIT = {"100mbit": 100, "1gbit": 1000, "none": 4000}  # none: about what dense gets of loopback
WANTED = 0.95


def comma_separated(known, kind=str):
    def parse(text):
        values = [kind(value) for value in text.split(",")]
        for value in values:
            if value not in known:
                raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(map(str, known))}")
        return values
    return parse


def steps_of(model, workers, rate):
    """Of dense: as many as it does in 3 seconds at the links' rate."""
    dense_bits = 32 * GRADIENTS[model] * 2 * (workers - 1) / workers
    return min(1000, max(2, int(3e6 * MBIT[rate] / dense_bits)))


def report_of(model, workers, rate, arguments):
    """Of a cell that was measured; else None."""
    file = arguments.out / f"sync-{model}-p{workers}-{rate}.json"
    report = json.loads(file.read_text()) if file.exists() else None
    return report if report and report["rounds_done"] >= arguments.rounds else None


def measure(model, workers, rate, arguments):
    if report_of(model, workers, rate, arguments):
        print(f"{model}, {workers} workers, {rate}: measured before, in {arguments.out}", flush=True)
    else:
        steps = steps_of(model, workers, rate)
        subprocess.run([ROOT / "scripts" / "sync_study.py", "--workers", str(workers), "--rate", rate,
                        "--shapes", model, "--steps", str(steps), "--compressed-steps",
                        str(COMPRESSED_STEPS[model]), "--warmup",
                        str(min(3, max(1, steps // 2))), "--rounds", str(arguments.rounds),
                        "--systems", ",".join([*FIXED, "cddp-auto"]), "--cddp", arguments.cddp,
                        "--out", str(arguments.out)], check=True, stdout=subprocess.DEVNULL)
    return report_of(model, workers, rate, arguments)


def cell_of(report):
    step = {entry["system"]: entry["step_ms_median"] for entry in report["summary"]}
    measured = {system: step[system] for system in FIXED if step.get(system)}
    best = min(measured, key=measured.get)
    auto = step.get("cddp-auto")
    of_round = {(run["system"], run["round"]): run["result"]["step_ms_median"]
                for run in report["runs"] if run["result"]}
    rounds = [of_round[best, r] / of_round["cddp-auto", r]
              for r in range(1, report["rounds_done"] + 1)
              if (best, r) in of_round and ("cddp-auto", r) in of_round]
    return {"model": report["shapes"], "workers": report["workers"], "rate": report["rate"],
            "machine": report["machine"], "date": report["date"],
            "rounds": report["rounds_done"], "libtorch": report["torch_version"],
            "step_ms": {system.replace("-", "_"): value for system, value in step.items()},
            "best": best, "auto_speed_of_best": measured[best] / auto if auto else None,
            "auto_speed_by_round": statistics.median(rounds) if rounds else None}


def table(cells):
    machines = collections.Counter(cell["machine"] for cell in cells)
    dates = sorted(cell["date"] for cell in cells)
    rounds = sorted({cell["rounds"] for cell in cells})
    lines = [f"{' or '.join(map(str, rounds))} alternated rounds per cell, medians of a step in ms; "
             + "; ".join(f"{name} ({count} cells)" for name, count in machines.items())
             + f"; {dates[0]} to {dates[-1]}; libtorch "
             + " and ".join(sorted({cell["libtorch"] for cell in cells})) + ".", "",
             "| gradients | workers | links | dense | PyTorch DDP | gather | split | auto "
             "| auto, of the best's speed | round by round, median |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for cell in cells:
        ms = cell["step_ms"]
        numbers = [f"{ms[name]:.4g}" if ms.get(name) else "failed" for name in
                   ("cddp_dense", "ddp_dense", "cddp_gather", "cddp_split", "cddp_auto")]
        speed = cell["auto_speed_of_best"]
        mark = "" if speed and speed >= WANTED else f" (below {WANTED})"
        lines.append(f"| {cell['model']} | {cell['workers']} | {cell['rate']} | "
                     + " | ".join(numbers)
                     + f" | {f'{speed:.2f}' if speed else 'failed'}{mark} | "
                     + (f"{cell['auto_speed_by_round']:.2f}" if speed else "failed") + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=comma_separated(list(GRADIENTS)), default=list(GRADIENTS))
    parser.add_argument("--workers", type=comma_separated(WORKERS, int), default=WORKERS)
    parser.add_argument("--rates", type=comma_separated(list(MBIT)), default=list(MBIT))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cddp", default="build/release/cddp", metavar="PROGRAM")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/auto_grid"),
                        help="folder (default runs/auto_grid)")
    arguments = parser.parse_args()
    arguments.out = pathlib.Path(os.path.relpath(arguments.out, ROOT))
    arguments.cddp = os.path.relpath(arguments.cddp, ROOT)
    os.chdir(ROOT)

    for asked in itertools.product(arguments.models, arguments.workers, arguments.rates):
        report = measure(*asked, arguments)
        print(table([cell_of(report)]).splitlines()[-1], flush=True)
        known = [report_of(*cell, arguments)
                 for cell in itertools.product(GRADIENTS, WORKERS, MBIT)]
        cells = [cell_of(report) for report in known if report]
        (arguments.out / "auto_grid.json").write_text(json.dumps(cells, indent=1) + "\n")
        (arguments.out / "auto_grid.md").write_text(table(cells))
    print(table(cells))
    return 0 if all((cell["auto_speed_of_best"] or 0) >= WANTED for cell in cells) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"auto_grid.py: {failed}")
