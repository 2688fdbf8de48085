#!/usr/bin/env python3
"""What synchronising gradients takes on a slow network: cddp's collectives and PyTorch
DDP over Gloo with its hooks, in the lab of scripts/lab.sh, from one command. Longer than other
files: a study is its runs, their summary, its tables and its picture, and nothing shares them.

    scripts/sync_study.py                              8 workers at 1 Gbit/s, ResNet-50
    scripts/sync_study.py --workers 4 --rate 100mbit --systems cddp-dense,cddp-split
    scripts/sync_study.py --compute-ms 200             gradients ready over 200 ms
    scripts/sync_study.py --shapes my_shapes.txt       lines 'name d0 d1 ...'
    scripts/sync_study.py --redraw results/sync/sync-*.json    pictures of earlier studies

Needs root, iproute2 and gnuplot, to redraw gnuplot alone; for the peers a Python that
imports torch (Debian package python3-torch). Makes the lab anew and removes it at the end.

Each round runs all systems, every second one in reverse order. What fails is recorded
with its exit code and its last words, and the study goes on; it ends with 1 when nothing
succeeded. After each round writes sync-SHAPES-pWORKERS-RATE to the output folder: .csv
and .json (every run), .md (the table, medians over the rounds), .png, and .dat and .gp
(gnuplot's data and script).
"""
import argparse
import csv
import datetime
import io
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAB = ROOT / "scripts" / "lab.sh"
PEER = ROOT / "bench" / "peers" / "ddp_peer.py"
BASELINE = "cddp-dense"

# What the table calls them; their options.
CDDP = {
    "cddp-dense": ("cddp dense", "dense"),
    "cddp-gather": ("cddp gather", "gather"),
    "cddp-split": ("cddp split", "split"),
    "cddp-auto": ("cddp auto", "auto"),
}
PEERS = {
    "ddp-dense": ("PyTorch DDP dense", ["--hook", "dense"]),
    "ddp-fp16": ("PyTorch DDP fp16 hook", ["--hook", "fp16"]),
    **{f"powersgd-{rank}": (f"PyTorch DDP PowerSGD rank {rank}, one bucket",
                            ["--hook", "powersgd", "--rank-of-approximation", str(rank),
                             "--one-bucket"]) for rank in (1, 2, 4)},
    "powersgd-buckets": ("PyTorch DDP PowerSGD rank 4, default buckets",
                         ["--hook", "powersgd", "--rank-of-approximation", "4"]),
    "allreduce": ("Gloo allreduce alone", ["--raw-allreduce"]),
}
LABELS = {name: label for name, (label, _) in {**CDDP, **PEERS}.items()}
# With several buckets PowerSGD over Gloo aborts or hangs, probably as its callbacks start
# collectives, in an order that differs between workers, and wait for them. One run is enough.
ONCE = {"powersgd-buckets"}
DEFAULT = [name for name in LABELS if name != "allreduce"]
DEFAULTS = {"values": "int4", "memory": "residual"}
NUMBERS = ["step_ms_median", "sync_ms_median", "autograd_ms", "tx_bytes_per_step",
           "nic_tx_bytes_per_step", "floor_ms", "ratio_to_floor", "select_ms", "encode_ms",
           "exchange_ms", "decode_ms", "apply_ms"]


def refuse(message):
    sys.exit(Refusal(message))


class Refusal(str):
    pass


class Study:
    def __init__(self, arguments):
        self.a = arguments
        self.begin = time.monotonic()
        self.rows = []
        self.running = None
        self.made_lab = False
        name = pathlib.Path(arguments.shapes).stem
        stem = f"sync-{name}-p{arguments.workers}-{arguments.rate}"
        if arguments.compute_ms:
            stem += f"-compute{arguments.compute_ms:g}"
        if arguments.ratio != 0.01:
            stem += f"-ratio{arguments.ratio:g}"
        for key in ("values", "memory"):
            if getattr(arguments, key) != DEFAULTS[key]:
                stem += f"-{getattr(arguments, key)}"
        if arguments.threads != 1:
            stem += f"-threads{arguments.threads}"
        self.stem = arguments.out / stem
        self.shapes_name = name

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", flush=True)

    def path(self, extension):
        return self.stem.with_name(self.stem.name + extension)

    def write(self, extension, text):
        write_whole(self.path(extension), text)

    # ---- running

    def prepare(self):
        a = self.a
        a.out.mkdir(parents=True, exist_ok=True)
        self.shapes_file = pathlib.Path(a.shapes)
        if any(name in PEERS for name in a.systems):
            a.python = find_python([a.python] if a.python else ["python3", "/usr/bin/python3"])
            if not self.shapes_file.is_file():
                shapes = subprocess.run([a.cddp, "bench", "sync", "--shapes", a.shapes,
                                         "--print-shapes"], capture_output=True, text=True)
                if shapes.returncode != 0:
                    refuse(f"{a.cddp} does not print the shapes of {a.shapes}: "
                           f"{last_line(shapes.stderr)}")
                self.write(".shapes.txt", shapes.stdout)
                self.shapes_file = self.path(".shapes.txt")
        self.made_lab = True
        lab = subprocess.run([LAB, "up", str(a.workers), a.rate])
        if lab.returncode != 0:
            sys.exit(lab.returncode)

    def command(self, name, report):
        a = self.a
        compressed = name in CDDP and name != BASELINE
        steps, warmup = ((a.compressed_steps, a.compressed_warmup) if compressed else
                         (a.steps, a.warmup))
        pace = ["--steps", str(steps), "--warmup", str(warmup), "--compute-ms",
                f"{a.compute_ms:g}", "--json", str(report)]
        if name in PEERS:
            return [a.python, os.path.relpath(PEER), "--shapes-file", str(self.shapes_file),
                    *PEERS[name][1], *pace]
        collective = CDDP[name][1]
        compression = [] if collective == "dense" else [
            "--ratio", f"{a.ratio:g}", "--values", a.values, "--memory", a.memory]
        return [a.cddp, "bench", "sync", "--shapes", a.shapes, "--collective", collective,
                *compression, "--threads", str(a.threads), "--interface", "eth0", *pace]

    def run(self, name, number):
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.json"
            log = pathlib.Path(folder) / "stderr"
            command = self.command(name, report)
            begin = time.monotonic()
            with log.open("w") as stderr:
                code = self.in_lab(command, stderr)
            row = {"system": name, "round": number, "exit_code": code,
                   "seconds": round(time.monotonic() - begin, 1),
                   "command": shlex.join(command[:-2])}
            try:
                row["result"] = json.loads(report.read_text()) if code == 0 else None
                row["error"] = None if code == 0 else last_words(log.read_text(), code)
            except (OSError, ValueError) as error:
                row |= {"result": None, "error": f"ended with 0, but: {error}"}
            if row["result"] and not isinstance(row["result"].get("step_ms_median"), (int, float)):
                row |= {"result": None, "error": "ended with 0, but without step_ms_median"}
        self.rows.append(row)
        if row["result"]:
            self.say(f"round {number}, {name}: {row['result']['step_ms_median']:.1f} ms a step")
        else:
            said = f": {row['error']}" if row["error"] else ""
            self.say(f"round {number}, {name}: {outcome(row)}{said}")

    def in_lab(self, command, stderr):
        """The exit code; None when it took too long."""
        self.running = subprocess.Popen(
            [LAB, "run", "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=stderr, env=os.environ | {"OMP_NUM_THREADS": str(self.a.threads)})
        try:
            return self.running.wait(self.a.timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.stop()

    def stop(self):
        """The lab's script stops the workers; it takes at most some seconds."""
        if self.running is not None and self.running.poll() is None:
            self.running.terminate()
            self.running.wait()
        self.running = None

    def rounds(self):
        for number in range(1, self.a.rounds + 1):
            systems = [name for name in self.a.systems if number == 1 or name not in ONCE]
            for name in systems if number % 2 else reversed(systems):
                self.run(name, number)
            self.write_results(number)

    # ---- results

    def summary(self):
        """Per system, in order: medians over its rounds, and what went wrong."""
        result = []
        for name in self.a.systems:
            rows = [row for row in self.rows if row["system"] == name]
            good = [row["result"] for row in rows if row["result"]]
            entry = {"system": name, "runs": len(rows),
                     "failures": [{"round": row["round"], "outcome": outcome(row),
                                   "exit_code": row["exit_code"], "error": row["error"]}
                                  for row in rows if not row["result"]]}
            for key in NUMBERS:
                values = [r[key] for r in good if isinstance(r.get(key), (int, float))]
                entry[key] = statistics.median(values) if values else None
            steps = [r["step_ms_median"] for r in good]
            entry["step_ms_lowest"] = min(steps, default=None)
            entry["step_ms_highest"] = max(steps, default=None)
            result.append(entry)
        baseline = next((e["step_ms_median"] for e in result if e["system"] == BASELINE), None)
        for entry in result:
            entry["times_as_fast_as_cddp_dense"] = (
                baseline / entry["step_ms_median"] if baseline and entry["step_ms_median"]
                else None)
        return result

    def write_results(self, done):
        a, summary = self.a, self.summary()
        versions = {row["result"].get("torch_version") for row in self.rows if row["result"]}
        about = {
            "machine": machine(), "date": datetime.date.today().isoformat(),
            "torch_version": next(iter(sorted(v for v in versions if v)), None),
            "command": shlex.join(["scripts/sync_study.py", *sys.argv[1:]]),
            "shapes": self.shapes_name, "workers": a.workers, "rate": a.rate,
            "compute_ms": a.compute_ms, "threads": a.threads, "steps": a.steps,
            "compressed_steps": a.compressed_steps, "warmup": a.warmup,
            "compressed_warmup": a.compressed_warmup, "ratio": a.ratio,
            "values": a.values, "memory": a.memory,
            "rounds": a.rounds, "rounds_done": done}
        self.write(".json", json.dumps({**about, "summary": summary, "runs": self.rows},
                                       indent=2) + "\n")
        self.write(".csv", self.csv_text())
        self.write(".md", self.table(about, summary))
        if error := draw(self.stem, about, summary):
            self.say(f"gnuplot failed: {error}")
        self.say(f"{done} of {a.rounds} rounds: {self.path('.md')}")

    def csv_text(self):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["system", "round", "exit_code", "seconds", *NUMBERS, "error"])
        for row in self.rows:
            result = row["result"] or {}
            writer.writerow([row["system"], row["round"],
                             "timeout" if row["exit_code"] is None else row["exit_code"],
                             row["seconds"], *(result.get(key) for key in NUMBERS),
                             row["error"]])
        return text.getvalue()

    def table(self, about, summary):
        a = self.a
        lines = [
            f"# Synchronisation of {about['shapes']}: {about['workers']} workers, "
            f"{about['rate']}", "",
            f"`{about['command']}`, {about['date']}, {about['machine']}"
            + (f", PyTorch {about['torch_version']}" if about["torch_version"] else "") + ". "
            f"Medians over rounds ({about['rounds_done']}) of {about['steps']} steps"
            + (f", of our compressed collectives {about['compressed_steps']}; "
               if about["compressed_steps"] != about["steps"] else "; ") +
            f"{about['threads']} thread{'s' if about['threads'] > 1 else ''} per worker; "
            f"gradients ready over {about['compute_ms']:g} ms."
            + (" PyTorch DDP: less what its backward takes without synchronisation, beyond that."
               if set(a.systems) & set(PEERS) else "")
            + (f" cddp compressed: ratio {about['ratio']:g}, values {about['values']}, memory "
               f"{about['memory']}." if set(a.systems) & set(CDDP) - {BASELINE} else ""), "",
            "| | step (ms) | lowest to highest round | times as fast as cddp dense "
            "| sent per worker and step (MB) | at the interface (MB) | synchronisation / (memory traffic + bare exchange) |",
            "|---|---:|---:|---:|---:|---:|---:|"]
        for entry in summary:
            if entry["step_ms_median"] is None:
                what = entry["failures"][-1]["outcome"] if entry["failures"] else "not run"
                cells = [what, *[""] * 5]
            else:
                cells = [figure(entry["step_ms_median"]),
                         f"{figure(entry['step_ms_lowest'])} to "
                         f"{figure(entry['step_ms_highest'])}",
                         figure(entry["times_as_fast_as_cddp_dense"]),
                         figure(entry["tx_bytes_per_step"], 1e6),
                         figure(entry["nic_tx_bytes_per_step"], 1e6),
                         figure(entry["ratio_to_floor"])]
            lines.append("| " + " | ".join([LABELS[entry["system"]], *cells]) + " |")
        phases = [entry for entry in summary if entry["exchange_ms"] is not None]
        if phases:
            lines += ["", "| | select (ms) | encode | exchange | decode | apply |",
                      "|---|---:|---:|---:|---:|---:|"]
            lines += ["| " + " | ".join([LABELS[e["system"]], *(
                figure(e[f"{phase}_ms"])
                for phase in ("select", "encode", "exchange", "decode", "apply"))]) + " |"
                for e in phases]
        peers = [e for e in summary if e["system"] in PEERS and e["step_ms_median"]]
        own = [e for e in summary if e["system"] in CDDP and e["step_ms_median"]]
        if peers and own:
            best, rival = (min(group, key=lambda e: e["step_ms_median"]) for group in (own, peers))
            lines += ["", f"The fastest of each: {LABELS[best['system']]} "
                      f"{figure(best['step_ms_median'])} ms, {LABELS[rival['system']]} "
                      f"{figure(rival['step_ms_median'])} ms, "
                      f"{figure(rival['step_ms_median'] / best['step_ms_median'])} times that."]
        failures = [(entry, failure) for entry in summary for failure in entry["failures"]]
        if failures:
            lines += ["", "What failed:", ""]
            for entry, failure in failures:
                said = (failure["error"] or "").replace("`", "'")
                lines.append(f"- {LABELS[entry['system']]}, round {failure['round']}: "
                             f"{failure['outcome']}" + (f": `{said}`" if said else ""))
        return "\n".join(lines) + "\n"


# Blue and orange of Okabe and Ito (2008), which the colour-blind tell apart. Bars from zero, as
# their lengths are what is compared.
PLOT = """\
set terminal pngcairo size 1200,{height} font 'DejaVu Sans,13' background 'white' noenhanced
set output '{png}'
set title "{title}\\n{subtitle}"
set xlabel 'time of a step (ms)'
set xrange [0:{right:g}]
set yrange [0.3:{rows}]
set format x '%g'
set grid xtics lc rgb '#bbbbbb'
set ytics nomirror scale 0
set bmargin 6
set key at screen 0.97, screen 0.035 right bottom horizontal
set style fill solid 1.0
plot '{dat}' using ($5 == 1 ? $2 : NaN):1:(0):2:($1-0.32):($1+0.32):ytic(8) \\
       with boxxyerror lc rgb '#0072B2' title 'cddp', \\
     '' using ($5 == 0 ? $2 : NaN):1:(0):2:($1-0.32):($1+0.32) \\
       with boxxyerror lc rgb '#E69F00' {peers}, \\
     '' using 2:1:3:4 with xerrorbars pt 0 lc rgb 'black' lw 1.5 title 'lowest to highest round', \\
     '' using 6:1:7 with labels left offset 1,0 notitle
"""


def draw(stem, about, summary):
    """STEM.dat, .gp and .png; what gnuplot complained of, if it did."""
    measured = [e for e in summary if e["step_ms_median"]]
    if not measured:
        return ""
    data = ["# row, step (ms), lowest round, highest round, 1 for cddp, end, text, label"]
    for row, entry in enumerate(summary):
        step = entry["step_ms_median"]
        if step:
            text = f"{figure(step)} ms"
        else:
            text = entry["failures"][-1]["outcome"] if entry["failures"] else "not run"
        data.append(f"{len(summary) - row} {step or 'NaN'} "
                    f"{entry['step_ms_lowest'] or 'NaN'} {entry['step_ms_highest'] or 'NaN'} "
                    f"{int(entry['system'] in CDDP)} {entry['step_ms_highest'] or 0:g} "
                    f"\"{text}\" "
                    f"\"{LABELS[entry['system']]}\"")
    write_whole(stem.with_name(stem.name + ".dat"), "\n".join(data) + "\n")
    compute = f", gradients ready over {about['compute_ms']:g} ms" if about[
        "compute_ms"] else ""
    compressed = (f"; {100 * about['ratio']:g}% in {about['values']}, memory {about['memory']}"
                  if {e["system"] for e in measured} & set(CDDP) - {BASELINE} else "")
    script = stem.with_name(stem.name + ".gp")
    write_whole(script, PLOT.format(
        peers="title 'PyTorch over Gloo'" if {e["system"] for e in summary} & set(PEERS)
        else "notitle",
        png=stem.name + ".png", dat=stem.name + ".dat",
        height=230 + 42 * len(summary),
        title=f"Synchronising the gradients of {about['shapes']}: {about['workers']} workers, "
              f"{'unshaped' if about['rate'] == 'none' else about['rate']} links",
        subtitle=f"{about['machine']}; median of {about['rounds_done']} round"
                 f"{'s' if about['rounds_done'] > 1 else ''}{compute}{compressed}",
        right=1.2 * max(e["step_ms_highest"] for e in measured), rows=len(summary) + 0.7))
    drawn = subprocess.run(["gnuplot", script.name], cwd=stem.parent, capture_output=True, text=True)
    return last_line(drawn.stderr) if drawn.returncode else ""


def redraw(file):
    """The picture beside a study's JSON; whether that went well."""
    try:
        study = json.loads(file.read_text())
        error = draw(file.with_suffix(""), study, study["summary"])
    except (OSError, ValueError, KeyError, TypeError) as failure:
        error = f"is not the JSON of a study: {failure!r}"
    print(f"{file}: {error}" if error else file.with_suffix(".png"),
          file=sys.stderr if error else sys.stdout)
    return not error


def write_whole(path, text):
    """Or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def outcome(row):
    code = row["exit_code"]
    if code is None:
        return f"has not ended after {row['seconds']:.0f} s"
    if code == 134:
        return "aborts (exit 134)"
    return f"fails (exit {code})" if code else "no result"


def last_line(text):
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def last_words(log, code):
    """The last line of the worker whose exit code the run ended with, else of any."""
    lines = log.splitlines()
    for line in lines:
        words = line.split()
        if words[:2] == ["lab.sh:", "worker"] and words[-1] == f"{code}.":
            own = [other for other in lines if other.startswith(f"[{words[2]}] ")]
            if own:
                return own[-1].strip()
    return last_line("\n".join(line for line in lines if not line.startswith("lab.sh:")))


def figure(value, unit=1):
    """Three significant digits, or all before the point."""
    if value is None:
        return ""
    value /= unit
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:#.3g}"


def machine():
    model = next((line.split(":")[1].strip()
                  for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}"


def find_python(candidates):
    """The first of them that imports torch."""
    tried = []
    for python in candidates:
        path = shutil.which(python)
        if path is None or path in tried:
            continue
        tried.append(path)
        if subprocess.run([path, "-c", "import torch.distributed"],
                          capture_output=True).returncode == 0:
            return path
    refuse(f"no Python here imports torch (tried {', '.join(tried) or candidates[0]}): "
           "install the Debian package python3-torch, name one with --python, or leave the "
           "peers out with --systems")


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value
    parse.__name__ = "positive number"
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--workers", type=positive(int), default=8)
    parser.add_argument("--rate", default="1gbit", help="of the links, as for scripts/lab.sh")
    parser.add_argument("--shapes", default="resnet50",
                        help="a model that cddp bench sync knows, or a file")
    parser.add_argument("--steps", type=positive(int), default=10)
    parser.add_argument("--compressed-steps", type=positive(int), metavar="N",
                        help="of our compressed collectives, where they are so short that more "
                             "are needed for a median that holds (default: --steps)")
    parser.add_argument("--warmup", type=positive(int), default=3)
    parser.add_argument("--compressed-warmup", type=positive(int), default=150, metavar="N",
                        help="of our compressed collectives, whose memories fill first, and "
                             "auto decides (default 150)")
    parser.add_argument("--rounds", type=positive(int), default=3)
    parser.add_argument("--ratio", type=positive(float), default=0.01,
                        help="of the compressed collectives (default 0.01)")
    parser.add_argument("--values", help="their value codec (default int4)")
    parser.add_argument("--memory", help="residual (default), dgc or none")
    parser.add_argument("--threads", type=positive(int), default=1, help="of each worker")
    parser.add_argument("--compute-ms", type=float, default=0, metavar="X",
                        help="time over which the gradients become ready (default 0)")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=DEFAULT,
                        help=f"some of {','.join(LABELS)} (default: all but allreduce)")
    parser.add_argument("--timeout", type=positive(float), default=600, metavar="SECONDS",
                        help="of a run (default 600)")
    parser.add_argument("--cddp", default="build/release/cddp", metavar="PROGRAM")
    parser.add_argument("--python", help="one that imports torch, for the peers")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/sync"))
    parser.add_argument("--redraw", type=pathlib.Path, nargs="+", metavar="JSON",
                        help="measure nothing, draw the pictures of these studies again")
    arguments = parser.parse_args()
    if shutil.which("gnuplot") is None:
        parser.error("needs gnuplot (Debian package gnuplot-nox)")
    if arguments.redraw:
        return arguments
    arguments.compressed_steps = arguments.compressed_steps or arguments.steps
    for name in arguments.systems:
        if name not in LABELS:
            parser.error(f"no system {name}; there are {', '.join(LABELS)}")
    if not 0 <= arguments.compute_ms < float("inf"):
        parser.error("--compute-ms is a number from 0")
    if arguments.warmup < 3 and any("powersgd" in name for name in arguments.systems):
        parser.error("--warmup is a number from 3, as PowerSGD begins in the third step")
    if os.geteuid() != 0:
        parser.error("needs root, for the network namespaces of scripts/lab.sh")
    needs_program = any(name in CDDP for name in arguments.systems) or not os.path.isfile(
        arguments.shapes)
    if needs_program and shutil.which(arguments.cddp) is None:
        parser.error(f"there is no program {arguments.cddp}; build it, name it with --cddp, or "
                     "choose peers with --systems and a file with --shapes")
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.redraw:
        return 0 if all([redraw(file) for file in arguments.redraw]) else 1
    study = Study(arguments)
    # The same way out as for Ctrl-C: workers and lab do not stay behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        study.prepare()
        study.rounds()
        print(study.path(".md").read_text())
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        study.stop()
        if study.made_lab:
            subprocess.run([LAB, "down"])
    return 0 if any(row["result"] for row in study.rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SystemExit as end:
        if isinstance(end.code, Refusal):
            print(f"sync_study.py: {end.code}", file=sys.stderr)
            sys.exit(2)
        raise
