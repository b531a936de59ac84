#!/usr/bin/env python3
"""The cases of tests/vectors in both engines: all pass, and in each engine they reach every row of the
opcode table but those of UNREACHED.  The cases' `needs`: on a processor that lacks any one feature no case
fails (of the recorded ones: on some that lack many).  And four shards, merged, report what one run reports.

    test_conform_vectors.py RING3 VECTORS
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

from harness import Checks

# Rows that no case of one instruction can express: {"ROW": "the reason, and the test that covers it"}.
UNREACHED = {}

NOT = re.compile(r"^(interp|translate): \d+ of (\d+) rows reached; not:(.*)$", re.M)
TOTAL = re.compile(r"^(\d+) cases in (\d+) files: (\d+) passed, (\d+) excused by named differences, 0 failed(?:, (\d+) not run)?$", re.M)

ring3, vectors = sys.argv[1:3]
files = sorted(path for ending in ("*.r3v", "*.r3v.gz", "*.MOO.gz") for path in glob.glob(os.path.join(vectors, ending)))
by_hand = [path for path in files if path.endswith(".r3v")]
recorded = [path for path in files if path.endswith(".r3v.gz")]
checks = Checks()


def conform(*arguments):
    return subprocess.run([ring3, "conform", *arguments], capture_output=True, text=True)


def check_rows(run, where):
    checks.check(f"status{where}", run.returncode == 0, run.stdout[-2000:] + run.stderr)
    engines = NOT.findall(run.stdout)
    checks.check(f"both engines{where}", len(engines) == 2, run.stdout[-2000:])
    for engine, rows, unreached in engines:
        checks.check(f"rows in {engine}{where}", int(rows) > 1300, rows)
        checks.check(f"no more unreached in {engine}{where}", set(unreached.split()) <= set(UNREACHED), unreached)
        checks.check(f"no fewer unreached in {engine}{where}", set(UNREACHED) <= set(unreached.split()), str(UNREACHED))


run = conform("--engine", "both", "--coverage", *files)
check_rows(run, "")
total = TOTAL.search(run.stdout)
checks.check("all files", total and int(total[2]) == len(files), run.stdout[-2000:])
checks.check("all cases", total and int(total[1]) == sum(int(count or 0) for count in total.group(3, 4, 5)), run.stdout[-2000:])
# A host without AVX has no less of the other rows.
check_rows(conform("--engine", "both", "--coverage", "--model", "max,+monitor,-avx", *files), " without AVX")



def check_needs(model, paths):
    lacking = conform("--model", model, *paths)
    checks.check(f"needs on {model}", lacking.returncode == 0, lacking.stdout[-2000:] + lacking.stderr)


known = subprocess.run([ring3, "run", "-cpu", "help"], capture_output=True, text=True).stdout
for feature in known[known.index("Features"):].split("\n", 1)[1].split():
    check_needs(f"max,+monitor,-{feature}", by_hand)
for model in ("486", "qemu32", "qemu64", "x86-64-v3", "max,-xsave", "max,-avx2"):
    check_needs(model, recorded)

with tempfile.TemporaryDirectory() as folder:
    for model in ("max", "max,-avx2"):
        options = ["--engine", "both", "--json", "--model", model]
        parts = []
        for shard in range(1, 5):
            parts.append(os.path.join(folder, f"{shard}.json"))
            with open(parts[-1], "w", encoding="ascii") as part:
                part.write(conform(*options, "--shard", f"{shard}/4", *files).stdout)
        whole, merged = conform(*options, *files), conform("--merge", "--json", *reversed(parts))
        checks.check(f"4 shards on {model}", whole.stdout.endswith("}\n") and merged.stdout == whole.stdout, merged.stderr + merged.stdout[:2000])
checks.end()
