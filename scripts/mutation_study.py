#!/usr/bin/env python3
"""Can the tests of the reliability scorecard fail? Breaks the code in one place for each of most
rows, and sees the row's test fail; before, it has passed.

    scripts/mutation_study.py                     all rows, some 25 minutes on two cores
    scripts/mutation_study.py --rows 1 14 17
    scripts/mutation_study.py --json FILE

Works on a copy of what git tracks, in --dir, with a build of its own: the checkout is left as
it is. A place that is no longer found is an error: the code has changed, and MUTATIONS must
follow. Ends with 1 when a test passes in spite of its mutation, or fails without.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Mutation:
    row: int
    what: str    # the defect
    file: str
    old: str     # occurs once
    new: str
    target: str  # of the build, and the program with the test
    tests: str   # its filter


MUTATIONS = [
    Mutation(1, "what a value's coding rounds away is kept with the wrong sign",
             "core/residual_memory.cc", "return taken[i] - decoded[i];", "return decoded[i] - taken[i];",
             "core_tests", "*MemoryLaw.Holds/residual"),
    Mutation(2, "an owner forgets what the coding of its entries rounds away",
             "collective/split.cc", "if (finite) owner.Settle(shard, sum_taken_);", "",
             "collective_tests", "*ConservationTest.AcrossRanks/split_int4"),
    Mutation(3, "each rank adds up frames beginning with its own",
             "collective/gather.cc", "max_entries, &entries_[r], finite));",
             "max_entries, &entries_[(r + static_cast<size_t>(parts_.transport->rank())) % "
             "entries_.size()], finite));",
             "collective_tests", "*ManyStepsTest*gather4"),
    Mutation(4, "of ties with the last entry that counts those before it are lost",
             "core/candidates.cc", "begin > cut_.index ? cut_.magnitude + 1 : cut_.magnitude",
             "(static_cast<void>(begin), cut_.magnitude + 1)", "core_tests", "*TopKThreads*"),
    Mutation(5, "SIMD sweeps take what is above the threshold, not what reaches it",
             "core/sweep.cc", "below_(hn::Set(Words(), static_cast<int32_t>(threshold - 1)))",
             "below_(hn::Set(Words(), static_cast<int32_t>(threshold)))",
             "core_tests", "*SweepTest.CompactAtLeast*"),
    Mutation(6, "gather leaves out the division by the number of ranks",
             "collective/gather.cc", "static_cast<float>(ranks), bucket.values", "1.0f, bucket.values",
             "collective_tests", "Collective.GatherWithRatioOneEqualsDense"),
    Mutation(7, "memories keep a void step",
             "core/compressor.cc", "memory_->Void();", "memory_->Commit();",
             "collective_tests", "*.NonFiniteGradientVoidsTheStepOnEveryRank"),
    Mutation(8, "gradients reach the memory with the loss's scale",
             "ddp/comm_hook.cc", "if (unscale != 1) buffer.mul_(unscale);", "",
             "ddp_tests", "*ScalesOfTheLossLeaveNoTrace*"),
    Mutation(9, "a closed connection is nobody's loss",
             "ddp/liveness_watch.cc", "Declare({rank, \"its connection closed\"});", "",
             "peers_tests", "*KilledIsNamedByAll/7"),
    Mutation(10, "silence is nobody's loss",
             "ddp/liveness_watch.cc", "if (silence <= options_.timeout) continue;",
             "if (silence <= 100 * options_.timeout) continue;",
             "peers_tests", "*StoppedIsNamedByAllAndByItselfWhenItWakes/1"),
    Mutation(11, "each rank's mean counts alike, however few samples it has",
             "trainer/train_step.cc", "loss_scale * world_size_ / static_cast<double>(work.targets)",
             "loss_scale / 4.0", "model_tests", "TrainStep.UnevenEndsWeighSamplesAlike"),
    Mutation(12, "one field is not compared",
             "ddp/world.cc", "if (got == expected) continue;",
             "if (got == expected || field == \"--ratio\") continue;",
             "model_tests", "Agreement.EachFieldIsRefusedByName"),
    Mutation(13, "what was prepared last is exchanged first",
             "collective/pipeline.cc",
             "item = std::move(prepared_.front());\n      prepared_.pop_front();",
             "item = std::move(prepared_.back());\n      prepared_.pop_back();",
             "collective_tests", "*ResultsAreThoseWithoutDelays/gather_pipelined"),
    Mutation(14, "frames are used whatever their checksum is",
             "core/frame_validation.cc", "checksum != header.checksum", "false && checksum == 0",
             "core_tests", "FrameFuzz.MutationsAreRejectedOrSafe"),
    Mutation(14, "the frame of another step is taken",
             "core/frame_validation.cc", "RequireEqual(expected, \"step\", expected.step, header.step)",
             "RequireEqual(expected, \"step\", 0, 0)",
             "core_tests", "FrameFuzz.ReplayedAndSwappedFramesAreRejected"),
    Mutation(16, "a failed exchange is passed over",
             "collective/split.cc", "CDDP_RETURN_IF_ERROR(SendToAll(bucket, flight));",
             "(void)SendToAll(bucket, flight);",
             "collective_tests", "Simulation.EverySeedEndsRightOrNamesTheLostRank"),
    Mutation(17, "a checkpoint is removed before the one that replaces it is there",
             "trainer/checkpoint_folder.cc", "if (rename(from.c_str(), to.c_str()) == 0) return;",
             "fs::remove_all(to);\n  if (rename(from.c_str(), to.c_str()) == 0) return;",
             "trainer_tests", "Checkpoints.KilledAtEachSystemCallLeavesAWholeOne"),
    Mutation(18, "checksums of files are not compared",
             "trainer/checkpoint_folder.cc", "if (found != xxh3)", "if (found.empty())",
             "trainer_tests", "Checkpoints.DamagedOneFallsBackToTheOneBefore"),
    Mutation(19, "a resumed selector draws from the beginning",
             "core/compressor.cc", "  selector_->Load(state.selector);\n", "",
             "collective_tests", "Resume.GoesOnToTheBit"),
    Mutation(19, "who owns a block depends on the bucket",
             "collective/shards.cc", "const uint32_t first = hashes_.back() % ranks;",
             "const uint32_t first = static_cast<uint32_t>(hashes_.size()) % ranks;",
             "collective_tests", "OtherBuckets.KeepWhatIsOwed"),
    Mutation(20, "new ranks begin with the sum of what was kept",
             "collective/memory_mean.cc", "static_cast<float>(value / ranks_)",
             "static_cast<float>(value)",
             "collective_tests", "Resume.AnotherWorldSizeKeepsWhatIsOwed"),
    Mutation(21, "scales of values round down",
             "core/value_codec.cc", "std::min((magnitude + 0xffff) >> 16, kLargest16)",
             "std::min(magnitude >> 16, kLargest16)",
             "core_tests", "GoldenFrames.EveryCodecWritesAndReadsTheSameBytes"),
    Mutation(23, "whoever says a rank is let in",
             "ddp/liveness_watch.cc",
             " ||\n      s.inbox != Hello(rank, options_.world_size, token_)", "",
             "peers_tests", "LivenessTest.StrangersDoNoHarm"),
    Mutation(25, "names of files in archives are used as they are",
             "trainer/data/tar_archive.cc",
             "place.is_absolute() || std::ranges::find(place, \"..\") != place.end()", "place.empty()",
             "trainer_tests", "TarArchiveTest.HostileOnesStayInside"),
    Mutation(27, "indices are signed",
             "core/sweep_scalar.cc", "kept.indices[keep] = base + index;",
             "kept.indices[keep] = (base + index) & 0x7fffffff;",
             "core_tests", "*IndicesBeyondTwoToTheThirtyOne:*BaseReachesTheLastIndex"),
    Mutation(29, "a signal is noted and forgotten",
             "trainer/stop_signal.cc", "if (counts[0] > 0) return SIGTERM;", "return 0;",
             "program_tests", "CheckpointTest.OneWorkersSignalStopsAll"),
]


class Copy:
    """What git tracks, and a build of it."""

    def __init__(self, folder):
        self.source, self.build = folder / "source", folder / "build"

    def make(self):
        shutil.rmtree(self.source, ignore_errors=True)
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True,
                               text=True).stdout.split("\0")
        for name in filter(None, files):
            if (ROOT / name).is_file():
                (self.source / name).parent.mkdir(parents=True, exist_ok=True)
                # With the time of now: objects of the last run's mutations are older.
                shutil.copy(ROOT / name, self.source / name)
        (self.source / "data").symlink_to(ROOT / "data")
        subprocess.run(["cmake", "--preset", "release", "-B", self.build], cwd=self.source, check=True,
                       stdout=subprocess.DEVNULL)

    def fails(self, mutation):
        """Whether the test does; None when it cannot be built."""
        built = subprocess.run(["cmake", "--build", self.build, "--target", mutation.target],
                               capture_output=True, text=True)
        if built.returncode != 0:
            print(built.stdout[-3000:], flush=True)
            return None
        ran = subprocess.Popen([self.build / "tests" / mutation.target, "--gtest_filter="
                                + mutation.tests], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        try:
            printed = ran.communicate(timeout=300)[0]
        except subprocess.TimeoutExpired:
            return True
        finally:  # also what the test has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ran.pid, signal.SIGKILL)
            ran.wait()
        if ran.returncode == 0 and not re.search(r"\[  PASSED  \] [1-9]", printed):
            sys.exit(f"mutation_study.py: {mutation.target} has no test {mutation.tests}")
        return ran.returncode != 0

    def place(self, mutation):
        file = self.source / mutation.file
        text = file.read_text()
        if text.count(mutation.old) != 1:
            sys.exit(f"mutation_study.py: {mutation.file} has {text.count(mutation.old)} times, not "
                     f"once:\n{mutation.old}")
        return file, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = sorted({mutation.row for mutation in MUTATIONS})
    parser.add_argument("--rows", nargs="+", type=int, choices=rows, default=rows, metavar="ROW",
                        help=f"of {', '.join(map(str, rows))} (default all)")
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "build/mutations",
                        help="for the copy and its build (default build/mutations)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    copy = Copy(arguments.dir.absolute())
    copy.make()
    chosen = [mutation for mutation in MUTATIONS if mutation.row in arguments.rows]
    for mutation in chosen:
        copy.place(mutation)
    results = []
    for mutation in chosen:
        begin = time.monotonic()
        before = copy.fails(mutation)
        file, text = copy.place(mutation)
        file.write_text(text.replace(mutation.old, mutation.new))
        after = copy.fails(mutation)
        file.write_text(text)
        verdict = ("does not compile" if None in (before, after) else
                   "fails without it" if before else "caught" if after else "NOT CAUGHT")
        results.append({"row": mutation.row, "defect": mutation.what, "file": mutation.file,
                        "test": mutation.tests, "verdict": verdict})
        print(f"{mutation.row:2}  {verdict}: {mutation.what} ({mutation.tests}), "
              f"{time.monotonic() - begin:.0f} s", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    caught = sum(result["verdict"] == "caught" for result in results)
    print(f"{caught} of {len(results)} caught")
    return 0 if caught == len(results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"mutation_study.py: {failed}")
