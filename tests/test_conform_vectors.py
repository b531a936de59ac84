#!/usr/bin/env python3
"""The cases of tests/vectors in both engines, and the rows of the opcode table that they reach: a row
that covered_rows.txt lists has to be reached in both.  And the cases' `needs`: on a processor that lacks
any one feature no case fails.

    test_conform_vectors.py RING3 VECTORS        check
    test_conform_vectors.py RING3 VECTORS list   print what covered_rows.txt should hold
"""
import glob
import os
import re
import subprocess
import sys

from harness import Checks

ROW = re.compile(r"^ *(\d+) +(\d+)  (\w+)$", re.M)
TOTAL = re.compile(r"^(\d+) cases in (\d+) files: (\d+) passed, (\d+) excused by named differences, 0 failed$", re.M)

ring3, vectors = sys.argv[1:3]
files = sorted(glob.glob(os.path.join(vectors, "*.r3v")) + glob.glob(os.path.join(vectors, "*.r3v.gz")) + glob.glob(os.path.join(vectors, "*.MOO.gz")))
run = subprocess.run([ring3, "conform", "--engine", "both", "--coverage"] + files, capture_output=True, text=True)
reached = {row for interp, translate, row in ROW.findall(run.stdout) if int(interp) and int(translate)}
if sys.argv[3:] == ["list"]:
    print("\n".join(sorted(reached)))
    sys.exit(0)

checks = Checks()
checks.check("status", run.returncode == 0, run.stdout[-2000:] + run.stderr)
total = TOTAL.search(run.stdout)
checks.check("all files, all cases", total and int(total[2]) == len(files) and int(total[1]) == int(total[3]) + int(total[4]), run.stdout[-2000:])
with open(os.path.join(vectors, "covered_rows.txt"), encoding="ascii") as listed:
    for row in listed.read().split():
        checks.check(f"row {row}", row in reached, "no case reaches it in both engines any more")

own = [path for path in files if path.endswith(".r3v") or path.endswith(".r3v.gz")]
known = subprocess.run([ring3, "run", "-cpu", "help"], capture_output=True, text=True).stdout
for feature in known[known.index("Features"):].split("\n", 1)[1].split():
    lacking = subprocess.run([ring3, "conform", "--model", f"max,+monitor,-{feature}"] + own, capture_output=True, text=True)
    checks.check(f"needs {feature}", lacking.returncode == 0, lacking.stdout[-2000:] + lacking.stderr)
checks.end()
