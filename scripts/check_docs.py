#!/usr/bin/env python3
"""Runs the commands that the documentation shows, and compares what they print.

    scripts/check_docs.py                        every page of docs/, README.md, CONTRIBUTING.md
    scripts/check_docs.py docs/user_guide.md     one page
    scripts/check_docs.py --list                 what is run and what is not; runs nothing

A page's blocks that begin with ```console are run in their order, in a folder of the page's
own that has build/release/cddp, configs, scripts, results and data. In a block

  $ command        is run by bash; a \\ at its end goes on in the next line
  text             is what it prints, on standard output and standard error together

Numbers, hashes and the width of gaps may differ. A line ... stands for any lines, ... within
a line for any text. A command without text may print anything. It must end with 0, unless
the next command of the block is `echo $?`, whose number is then compared exactly.

Blocks that nobody can run anywhere say so behind ```console: several-machines, root, gpu, or
long. Of their commands, and of lines that are indented by four blanks, as those of README.md,
only this is checked: that the program has the commands and flags that they name, and that
scripts are there. Besides, flags that the text names (`--ratio`) must be flags of the program,
and links must lead to files and headings. Ends with 1 when something differs. Needs no more than
Python.
"""
import argparse
import concurrent.futures
import difflib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKERS = {"several-machines", "root", "gpu", "long"}
SHELLS = {"sh", "bash", "shell"}
LIMIT_S = 300  # of one command
# Of torchrun, CMake and others, where the text names them alone.
FOREIGN_FLAGS = {"--no-python", "--nnodes", "--nproc-per-node", "--rdzv-conf", "--max-restarts",
                 "--network", "--bind-to"}


class Block:
    def __init__(self, markers):
        self.markers = markers
        self.steps = []  # [command, lines that it prints, its line in the page]

    def add(self, text, line):
        if self.steps and self.steps[-1][0].endswith("\\"):
            self.steps[-1][0] = self.steps[-1][0][:-1] + text.strip()
        elif text.startswith("$ "):
            self.steps.append([text[2:].strip(), [], line])
        elif self.steps:
            self.steps[-1][1].append(text)


def parse(page):
    """Blocks of the page, its text outside of all blocks, and what is wrong with it."""
    blocks, text, wrong = [], [], []
    block, fence = None, False
    for number, line in enumerate(page.read_text().split("\n"), 1):
        if line.startswith("```"):
            words = line[3:].split()
            if not fence and words and words[0] in SHELLS:
                wrong.append(f"{page}:{number}: commands belong into a ```console block")
            if not fence and words[:1] == ["console"]:
                unknown = set(words[1:]) - MARKERS
                if unknown:
                    wrong.append(f"{page}:{number}: unknown marker {' '.join(sorted(unknown))}; "
                                 f"there are {', '.join(sorted(MARKERS))}")
                block = Block(words[1:])
                blocks.append(block)
            elif fence:
                block = None
            fence = not fence
        elif block is not None:
            block.add(line, number)
        elif not fence:
            text.append((number, line))
    return blocks, text, wrong


def blur(line):
    line = re.sub(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b", "#", line)
    line = re.sub(r"[+-]?\d[\d.,:]*(e[+-]?\d+)?", "#", line)
    return re.sub(r"\s+", " ", re.sub(r"#+", "#", line)).strip()


def same(expected, got):
    if "..." not in expected:
        return blur(expected) == blur(got)
    parts = [re.escape(blur(part)) for part in expected.split("...")]
    return re.fullmatch(r".*".join(rf"\s*{part}\s*" for part in parts), blur(got)) is not None


def missing(expected, got):
    """The first expected line that is not where it should be, or None."""
    pieces, piece = [], []
    for line in expected:
        if line.strip() == "...":
            pieces.append(piece)
            piece = []
        else:
            piece.append(line)
    pieces.append(piece)
    at = 0
    for number, piece in enumerate(pieces):
        last = len(got) - len(piece)
        starts = range(at, last + 1)
        if number == 0:
            starts = range(0, min(1, last + 1))
        if number == len(pieces) - 1 and piece:
            starts = range(max(at, last), last + 1) if number > 0 or last == 0 else []
        for start in starts:
            if all(same(*pair) for pair in zip(piece, got[start:])):
                at = start + len(piece)
                break
        else:
            found = [line for line in piece if any(same(line, other) for other in got[at:])]
            return next((line for line in piece if line not in found), piece[0] if piece else "")
    return None


def run(command, status, folder):
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    # Threads that spin while they wait would take the cores from what runs beside.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    process = subprocess.Popen(["bash", "-c", f"(exit {status})\n{command}"], cwd=folder,
                               env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, output + f"\n(stopped after {LIMIT_S} s)"


def make_folder(folder, arguments):
    """What the commands of a page find where they run."""
    (folder / "build").mkdir()
    (folder / "build" / "release").symlink_to(arguments.cddp.parent)
    (folder / "data").symlink_to(arguments.data_dir)
    (folder / "results").symlink_to(ROOT / "results")
    for name in ("configs", "scripts", "docs"):
        shutil.copytree(ROOT / name, folder / name)


def check_block(page, block, folder, arguments, say):
    wrong = []
    status = 0
    for number, (command, expected, line) in enumerate(block.steps):
        start = time.monotonic()
        before, (status, output) = status, run(command, status, folder)
        got = [line.rstrip() for line in output.rstrip("\n").split("\n")]
        if arguments.show:
            say(f"$ {command}\n" + "\n".join(got))
        say(f"  {time.monotonic() - start:6.1f} s  {command[:100]}")
        where = f"{page}:{line}: $ {command}"
        told = block.steps[number + 1][0] == "echo $?" if number + 1 < len(block.steps) else False
        if command == "echo $?":
            if expected != got:
                wrong.append(f"{where}\n  the command before ended with {before}, not "
                             f"{' '.join(expected)}")
            continue
        if status != 0 and not told:
            wrong.append(f"{where}\n  ended with {status}:\n  " + "\n  ".join(got[-20:]))
            continue
        while expected and not expected[-1].strip():
            expected.pop()
        if expected and (absent := missing(expected, got)) is not None:
            difference = difflib.unified_diff([blur(e) for e in expected], [blur(g) for g in got],
                                              "the page", "the program", lineterm="", n=1)
            wrong.append(f"{where}\n  does not print: {absent}\n  " + "\n  ".join(difference))
    return wrong


def flags_of(program, pool):
    """The long flags of the program, (), and of its subcommands, ("bench", "sync") say."""
    flags = {}

    def help_of(command):
        return subprocess.run([program, *command, "--help"], check=True, capture_output=True,
                              text=True).stdout

    commands = [()]
    while commands:
        below = []
        for command, text in zip(commands, pool.map(help_of, commands)):
            flags[command] = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
            names = re.findall(r"^  ([a-z]+)  ", text.partition("Subcommands:")[2], re.M)
            below += [(*command, name) for name in names]
        commands = below
    return flags


def check_indented(page, text, flags):
    """Commands that are shown but not run."""
    wrong, command = [], ""
    for number, line in text:
        if not line.startswith("    "):
            command = ""
            continue
        command += line.partition(" #")[0].strip()
        if command.endswith("\\"):
            command = command[:-1]
            continue
        words, command = command.split(), ""
        for word in words:
            if re.match(r"(\./|scripts/)\S+\.(sh|py)$", word) and not (ROOT / word).exists():
                wrong.append(f"{page}:{number}: there is no {word}")
        at = next((i for i, word in enumerate(words) if word in ("cddp", "build/release/cddp")),
                  len(words))
        name = ()
        for word in words[at + 1:]:
            if not word.startswith("-") and (*name, word) in flags:
                name = (*name, word)
            else:
                break
        if not name and at + 1 < len(words) and not words[at + 1].startswith("-"):
            wrong.append(f"{page}:{number}: the program has no command {words[at + 1]}")
        wrong += [f"{page}:{number}: cddp {' '.join(name)} has no {word}"
                  for word in words[at + 1:]
                  if word.startswith("--") and word.partition("=")[0] not in flags[name]]
    return wrong


def anchors_of(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_text(page, text, flags):
    wrong = []
    known = FOREIGN_FLAGS.union(*flags.values())
    for number, line in text:
        for code in re.findall(r"`([^`]+)`", line):
            named = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", code)
            if code.startswith(("--", "cddp ")):
                wrong += [f"{page}:{number}: the program has no {flag}"
                          for flag in named if flag not in known]
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", line):
            aim = page.parent / target if target else page
            if "://" in target:
                continue
            if not aim.exists():
                wrong.append(f"{page}:{number}: there is no {target}")
            elif anchor and anchor not in anchors_of(aim):
                wrong.append(f"{page}:{number}: {target or 'this page'} has no heading #{anchor}")
    return wrong


def check_page(page, flags, arguments):
    """What there is to say, what is wrong, commands that were run and that were not."""
    blocks, text, wrong = parse(page)
    said, ran, left = [str(page)], 0, 0
    if not arguments.list:
        shown = [(line, "    " + command) for block in blocks if block.markers
                 for command, _, line in block.steps]
        wrong += check_text(page, text, flags)
        wrong += check_indented(page, text, flags) + check_indented(page, shown, flags)
    with tempfile.TemporaryDirectory(prefix="cddp-docs-") as name:
        folder = pathlib.Path(name)
        if not arguments.list and any(not block.markers for block in blocks):
            make_folder(folder, arguments)
        for block in blocks:
            if block.markers:
                left += len(block.steps)
            else:
                ran += len(block.steps)
            if arguments.list:
                how = " ".join(block.markers) or "run"
                said += [f"  {how}: {command}" for command, _, _ in block.steps]
            elif not block.markers:
                wrong += check_block(page, block, folder, arguments, said.append)
    return said, wrong, ran, left


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    parser.add_argument("--cddp", type=pathlib.Path, default=ROOT / "build/release/cddp")
    parser.add_argument("--data-dir", type=pathlib.Path, default=ROOT / "data",
                        help="folder with mnist/, as cddp data fetch makes it")
    parser.add_argument("--jobs", type=int, default=1, help="pages at a time (default 1)")
    parser.add_argument("--list", action="store_true", help="list the commands, run nothing")
    parser.add_argument("--show", action="store_true", help="print what the commands print")
    arguments = parser.parse_args()
    arguments.cddp = arguments.cddp.absolute()
    arguments.data_dir = arguments.data_dir.absolute()
    if not arguments.list and not os.access(arguments.cddp, os.X_OK):
        print(f"check_docs.py: there is no program {arguments.cddp}: build it, or say where "
              "it is with --cddp", file=sys.stderr)
        return 2
    pages = arguments.pages or [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md",
                                ROOT / "CONTRIBUTING.md"]
    wrong, ran, left = [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
        flags = {} if arguments.list else flags_of(arguments.cddp, pool)
        for said, mistakes, run_here, left_here in pool.map(
                lambda page: check_page(page, flags, arguments), pages):
            print("\n".join(said), flush=True)
            wrong += mistakes
            ran += run_here
            left += left_here
    if wrong:
        print("\n" + "\n\n".join(wrong))
    what = "commands would be run" if arguments.list else "commands were run"
    print(f"{ran} {what}, {left} are marked as not to be run, {len(wrong)} mistakes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
