#!/usr/bin/env python3
"""What becomes of whole trainings when something goes wrong at a random moment (reliability
scorecard, rows 9, 10, 17, 19, 23 and 29).

    scripts/fault_study.py                        every part, about 20 minutes on two cores
    scripts/fault_study.py kill --trials 1000
    scripts/fault_study.py kill stop nan --peer   the same of PyTorch's DDP and its PowerSGD

resume   All processes are killed (SIGKILL), --kills times at most, and started again with
         --resume auto: the parameters at the end are those of a run that nobody killed.
signal   SIGTERM and SIGUSR1 in turn: the run saves and ends with code 75 within 10 s; one
         run goes on from signal to signal, and ends with the parameters of one that had none.
kill     One of four workers is killed: all others end with code 3 within 2 s, naming it.
stop     One of four workers is stopped (SIGSTOP): the others end so within --timeout + 1 s.
intruder Strangers connect to every port that the workers listen on (started as by torchrun,
         meeting at MASTER_PORT), 10,000 times, and send garbage or nothing: the run ends as
         without them, or cleanly with code 3.
nan      Of the peer only: gradients are finite again in the steps after a NaN in one. (Of
         cddp NonFiniteGradientVoidsTheStepOnEveryRank tries a hundred.)

Prints a line for each part and ends with 1 when any trial failed.
Longer than other files: the parts share how workers are started, awaited and ended.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WAYS = {
    "dense": [],
    "residual, gather": ["--compress", "--collective", "gather", "--memory", "residual",
                         "--momentum", "0"],
    "dgc, split": ["--compress", "--collective", "split"],
    "dgc, auto, with the plan": ["--compress", "--collective", "auto"],
}
FOREVER = ["--epochs", "1000000", "--max-train-samples", "4000", "--save-every", "0"]
PEER_LOST, SAVED = 3, 75


class Folder:
    """Where a training runs, as the session of processes of its own that it is."""

    def __init__(self, path, a):
        self.path, self.a = path, a

    def start(self, arguments, environment=None):
        return subprocess.Popen([self.a.cddp, "train", "--data-dir", self.a.data_dir, "--threads",
                                 "1", "--max-test-samples", "500", *arguments],
                                cwd=self.path, env=os.environ | (environment or {}),
                                stdout=subprocess.DEVNULL, stderr=self.log_of(environment),
                                start_new_session=True)

    def log_of(self, environment):
        """Each rank that is started by itself has one of its own."""
        return open(self.path / f"log{(environment or {}).get('RANK', '')}", "ab")

    def result(self, arguments, kill_after=None):
        """What the training reports; None when it was killed before its end."""
        report = self.path / "report.json"
        report.unlink(missing_ok=True)
        with ended(self.start([*arguments, "--json", str(report)])) as process:
            try:
                code = process.wait(kill_after)
            except subprocess.TimeoutExpired:
                return None
        if code != 0:
            sys.exit(f"fault_study.py: a training ended with {code}: {self.log()[-2000:]}")
        return json.loads(report.read_text())

    def runs(self):
        """How many have begun to train."""
        return len(list(self.path.glob("runs/*/")))

    def wait_for_run(self, number, process):
        deadline = time.monotonic() + 60
        while self.runs() < number and process.poll() is None:
            if time.monotonic() > deadline:
                sys.exit(f"fault_study.py: no training began within 60 s: {self.logs()[-2000:]}")
            time.sleep(0.01)

    def log(self, rank=""):
        return (self.path / f"log{rank}").read_text(errors="replace")

    def logs(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.path.glob("log*")))


@contextlib.contextmanager
def ended(*processes):
    """Leaves nothing of their sessions behind, whatever happens."""
    try:
        yield processes[0] if len(processes) == 1 else processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def a_folder(a):
    with tempfile.TemporaryDirectory() as path:
        yield Folder(pathlib.Path(path), a)


def two_workers(way, samples):
    return ["--workers", "2", "--epochs", "2", "--max-train-samples", str(samples), *WAYS[way]]


def resume(a, moments):
    """One row for each way."""
    rows = []
    for way in a.ways:
        with a_folder(a) as folder:
            base = two_workers(way, 4000)
            begin = time.monotonic()
            whole = folder.result([*base, "--save-every", "0"])
            length = time.monotonic() - begin
            if way.endswith("plan"):
                base += ["--plan", str(next(folder.path.glob("runs/*/plan.json")))]
            equal = killed = 0
            for _ in range(a.trials or 20):
                checkpoints = folder.path / "checkpoints"
                shutil.rmtree(checkpoints, ignore_errors=True)
                resumed = [*base, "--checkpoint-dir", str(checkpoints), "--resume", "auto",
                           "--save-every-steps", str(moments.randint(1, 9))]
                report = None
                for _ in range(a.kills):
                    report = folder.result(resumed, moments.uniform(0.3, 1.1) * length)
                    if report:
                        break
                    killed += 1
                report = report or folder.result(resumed)
                equal += report["parameters_xxh3"] == whole["parameters_xxh3"]
        rows.append({"part": "resume", "what": way, "trials": a.trials or 20, "good": equal,
                     "kills": killed, "parameters_xxh3": whole["parameters_xxh3"]})
    return rows


def stop_by_signals(a, moments):
    """Runs that go on from one signal to the next."""
    trials = a.trials or 50
    seconds, codes, unequal = [], [], 0
    with a_folder(a) as folder:
        base = two_workers("dgc, split", 30_000)
        whole = folder.result([*base, "--save-every", "0"])
        chained = [*base, "--checkpoint-dir", "checkpoints", "--resume", "auto", "--json", "end.json"]
        while len(codes) < trials:
            with ended(folder.start(chained)) as process:
                folder.wait_for_run(folder.runs() + 1, process)
                time.sleep(moments.uniform(0.5, 2.5))  # before, there is nothing to save
                process.send_signal((signal.SIGTERM, signal.SIGUSR1)[len(codes) % 2])
                begin = time.monotonic()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                if process.returncode == 0:  # it was done: another one begins
                    end = json.loads((folder.path / "end.json").read_text())
                    unequal += end["parameters_xxh3"] != whole["parameters_xxh3"]
                    shutil.rmtree(folder.path / "checkpoints")
                    continue
                seconds.append(time.monotonic() - begin)
                codes.append(process.returncode)
        end = folder.result(chained)
        unequal += end["parameters_xxh3"] != whole["parameters_xxh3"]
    good = sum(code == SAVED and time <= 10 for code, time in zip(codes, seconds))
    return [{"part": "signal", "what": "dgc, split", "trials": trials,
             "good": good if unequal == 0 else 0, "seconds": seconds, "codes": codes,
             "runs_that_ended_otherwise": unequal}]


def environment_of(rank, world_size, port=None):
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} if port else {}
    return {"RANK": str(rank), "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size), **meeting}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start_four(folder, way):
    """Four workers that meet by a file."""
    return [folder.start([*FOREVER, "--rendezvous", f"file:{folder.path}/meeting", "--timeout",
                          str(folder.a.timeout), *WAYS[way]], environment_of(rank, 4))
            for rank in range(4)]


def start_the_peer(folder, hook, more):
    (folder.path / "shapes").write_text("weight 512 512 3 3\nbias 512\n")
    port = free_port()
    command = ["/usr/bin/python3", ROOT / "bench/peers/ddp_peer.py", "--shapes-file", "shapes",
               "--one-bucket", "--hook", hook, *more]
    return [subprocess.Popen(command, cwd=folder.path, stdout=subprocess.DEVNULL,
                             stderr=folder.log_of({"RANK": rank}), start_new_session=True,
                             env=os.environ | environment_of(rank, 4, port) | {
                                 "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"})
            for rank in range(4)]


def start_four_of_the_peer(folder, hook):
    return start_the_peer(folder, hook, ["--steps", "1000000"])


def nan_in_the_peer(a, _):
    rows = []
    for hook in ("dense", "powersgd"):
        with (a_folder(a) as folder,
              ended(*start_the_peer(folder, hook, ["--steps", "20", "--nan"])) as workers):
            codes = [worker.wait(300) for worker in workers]
            says = re.findall("RuntimeError: .*", folder.logs())
        rows.append({"part": "nan", "what": f"PyTorch DDP, {hook}", "trials": 1,
                     "good": int(codes == [0] * 4), "ends": says[:1]})
    return rows


def lose_one(a, moments, part, what, start, trials, patience):
    """Until when the others end, with which code, and whether they name the lost one."""
    limit = 2 if part == "kill" else a.timeout + 1
    seconds, codes, good, named = [], [], 0, 0
    for _ in range(trials):
        victim = moments.randrange(4)
        with a_folder(a) as folder, ended(*start(folder, what)) as workers:
            if a.peer:
                time.sleep(12)  # it does not say when it has begun
            else:
                folder.wait_for_run(1, workers[0])
            time.sleep(moments.uniform(0, 2))
            if any(worker.poll() is not None for worker in workers):
                sys.exit(f"fault_study.py: a worker ended before: {folder.logs()[-2000:]}")
            workers[victim].send_signal(signal.SIGKILL if part == "kill" else signal.SIGSTOP)
            begin = time.monotonic()
            others = [worker for worker in workers if worker is not workers[victim]]
            while time.monotonic() - begin < patience and any(w.poll() is None for w in others):
                time.sleep(0.005)
            took = time.monotonic() - begin
            now = [worker.returncode for worker in others]
            seconds.append(None if None in now else took)
            codes += now
            says = all(f"rank {victim} was lost" in folder.log(rank)
                       for rank in range(4) if rank != victim)
            named += says
            good += now == [PEER_LOST] * 3 and took <= limit and says
    return {"part": part, "what": what, "trials": trials, "good": good, "seconds": seconds,
            "codes": codes, "named_by_all": named}


def lose(part):
    def run(a, moments):
        if a.peer:
            return [lose_one(a, moments, part, f"PyTorch DDP, {hook}",
                             lambda folder, _, hook=hook: start_four_of_the_peer(folder, hook),
                             a.trials or 3, 60) for hook in ("dense", "powersgd")]
        ways = list(WAYS)
        trials = a.trials or (50 if part == "kill" else 12)
        shares = [trials // len(ways) + (i < trials % len(ways)) for i in range(len(ways))]
        return [lose_one(a, moments, part, way, start_four, share, 30)
                for way, share in zip(ways, shares) if share]
    return run


def listening(processes):
    """The addresses that they listen on."""
    inodes = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for file in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(file))
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A" or f"socket:[{fields[9]}]" not in inodes:
                continue
            address, port = fields[1].split(":")
            words = struct.pack(f"={len(address) // 8}I",
                                *(int(address[i:i + 8], 16) for i in range(0, len(address), 8)))
            found.append((family, (socket.inet_ntop(family, words), int(port, 16))))
    return found


class Strangers:
    """Connections that belong to nobody; a hundred of them stay open."""

    def __init__(self, bits):
        self.bits, self.open, self.made = bits, [], 0

    def garbage(self):
        kind = self.bits.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
        size = self.bits.choice((1, 4, 8, 64, 4000))
        return bytes(size) if kind == 2 else self.bits.randbytes(size)

    def connect(self, family, address):
        """Whether anybody listens there."""
        stranger = socket.socket(family)
        stranger.settimeout(1)
        try:
            stranger.connect(address)
        except OSError:
            stranger.close()
            return False
        self.made += 1
        with contextlib.suppress(OSError):  # it may be shut out
            stranger.sendall(self.garbage())
        self.open.append(stranger)
        if len(self.open) > 100:
            leaver = self.open.pop(self.bits.randrange(len(self.open)))
            if self.bits.randrange(2):  # by RST
                leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaver.close()
        return True


def disturbed(folder, arguments, moments):
    """How often strangers came, and the exit codes; None for who had not ended."""
    port = free_port()
    strangers = Strangers(moments)
    workers = [folder.start(arguments, environment_of(rank, 3, port)) for rank in range(3)]
    with ended(*workers):
        ports = []
        while any(w.poll() is None for w in workers) and strangers.made < 10_000:
            if not ports or not strangers.connect(*moments.choice(ports)):
                time.sleep(0.005)
                ports = listening(workers)
        deadline = time.monotonic() + 120
        while any(w.poll() is None for w in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        return strangers.made, [w.returncode for w in workers]


def intrude(a, moments):
    trials = a.trials or 3
    rows = []
    for way in ("dense", "dgc, split"):
        made, ends, good = [], [], 0
        with a_folder(a) as folder:
            base = ["--epochs", "3", "--max-train-samples", "30000", "--save-every", "0", *WAYS[way]]
            whole = folder.result(["--workers", "3", *base])
            end = folder.path / "end.json"
            for _ in range(trials):
                end.unlink(missing_ok=True)
                count, codes = disturbed(folder, [*base, "--json", str(end)], moments)
                same = codes == [0, 0, 0] and (json.loads(end.read_text())["parameters_xxh3"]
                                               == whole["parameters_xxh3"])
                made.append(count)
                ends.append("unchanged" if same else f"codes {codes}")
                good += (same and count == 10_000) or (codes == [PEER_LOST] * 3 and count > 0)
        rows.append({"part": "intruder", "what": way, "trials": trials, "good": good,
                     "connections": made, "ends": ends})
    return rows


PARTS = {"resume": resume, "signal": stop_by_signals, "kill": lose("kill"), "stop": lose("stop"),
         "intruder": intrude, "nan": nan_in_the_peer}
OF_PEER = ("kill", "stop", "nan")


def line(row):
    text = f"{row['part']}, {row['what']}: {row['good']} of {row['trials']}"
    seconds = [s for s in row.get("seconds", []) if s is not None]
    if seconds:
        text += f"; ended after {statistics.median(seconds):.2f} s (at most {max(seconds):.2f})"
    if None in row.get("seconds", []):
        text += f"; {row['seconds'].count(None)} had not ended"
    if "named_by_all" in row:
        text += f"; named by all in {row['named_by_all']}"
    for key in ("kills", "connections", "ends"):
        if key in row:
            text += f"; {key}: {row[key]}"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default all)")
    parser.add_argument("--peer", action="store_true",
                        help="kill, stop and nan of PyTorch's DDP instead, dense and with PowerSGD; needs "
                             "Debian's python3-torch")
    parser.add_argument("--trials", type=int, default=0,
                        help="of each part (default: resume 20 of each way, signal and kill 50, stop 12, "
                             "intruder 3, the peer's 3)")
    parser.add_argument("--kills", type=int, default=2, help="in each trial of resume, at most")
    parser.add_argument("--ways", nargs="*", default=["dense", "dgc, split"], choices=WAYS, metavar="WAY",
                        help=f"of resume, of: {'; '.join(WAYS)} (default dense and dgc, split)")
    parser.add_argument("--timeout", type=int, default=2, help="of the workers, in seconds (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--cddp", default=ROOT / "build/release/cddp", metavar="PROGRAM")
    parser.add_argument("--data-dir", default=ROOT / "data")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    a = parser.parse_args()
    known = OF_PEER if a.peer else [part for part in PARTS if part != "nan"]
    a.parts = a.parts or known
    for part in a.parts:
        if part not in known:
            parser.error(f"{part} is none of {', '.join(known)}")
    if a.trials < 0 or a.kills < 1 or a.timeout < 1:
        parser.error("--trials, --kills and --timeout are numbers from 1")
    a.cddp, a.data_dir = os.path.realpath(a.cddp), os.path.realpath(a.data_dir)
    if not a.peer and not os.access(a.cddp, os.X_OK):
        parser.error(f"there is no program {a.cddp}; build it or name it with --cddp")
    rows = []
    for part in a.parts:
        for row in PARTS[part](a, random.Random(a.seed)):
            rows.append(row)
            print(line(row), flush=True)
        if a.json:
            a.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["good"] == row["trials"] for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
