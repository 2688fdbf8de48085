"""What scripts/check_docs.py finds in commands that a page shows and nobody runs."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))
from check_docs import check_indented  # noqa: E402

FLAGS = {(): {"--help", "--version"}, ("train",): {"--help", "--workers"},
         ("bench",): {"--help"}, ("bench", "sync"): {"--help", "--steps"}}


def wrong(*lines):
    return check_indented("page.md", list(enumerate(lines, 1)), FLAGS)


GOOD = [
    ["    build/release/cddp train --workers 2      # --anything"],
    ["    build/release/cddp --version"],
    ["    cmake --build --preset release --target cddp"],
    ["    torchrun --nnodes 2 \\", "      build/release/cddp bench sync --steps=5"],
    ["    scripts/lab.sh run -- build/release/cddp train"],
    ["text about cddp trane --wrokers"],
]
BAD = [
    (["    build/release/cddp trane"], "page.md:1: the program has no command trane"),
    (["    build/release/cddp train --steps 2"], "page.md:1: cddp train has no --steps"),
    (["    torchrun \\", "      build/release/cddp bench sync --setps=5"],
     "page.md:2: cddp bench sync has no --setps=5"),
    (["    cddp bench --steps 5"], "page.md:1: cddp bench has no --steps"),
    (["    scripts/no_such.sh up"], "page.md:1: there is no scripts/no_such.sh"),
]
for lines in GOOD:
    assert wrong(*lines) == [], wrong(*lines)
for lines, message in BAD:
    assert wrong(*lines) == [message], wrong(*lines)
