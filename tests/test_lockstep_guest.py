#!/usr/bin/env python3
"""The demo guests in lockstep, with each engine as the first; the seed.

    test_lockstep_guest.py RING3 DEMO32 DEMO64
"""
import re
import sys

from harness import Checks
from session import run

checks = Checks()


def in_lockstep(ring3, demo, engine):
    status, out, err = run([ring3, "-accel", engine, "-kernel", demo, "-append", "run=cpu,mem,pci,time,colours,off",
                            "-display", "none", "-serial", "stdio", "-no-reboot", "--lockstep", "--seed=5"])
    name = f"{demo} {engine}"
    checks.check(f"{name}: powers off", status == 0 and "power off" in out, f"status {status}, {out!r}, {err!r}")
    found = re.fullmatch(r"lockstep: no difference in (\d+) blocks, (\d+) instructions, .*; seed 5\n", err)
    checks.check(f"{name}: compared", found and int(found[1]) > 10000 and int(found[2]) > int(found[1]), repr(err))


def bad_seed(ring3):
    for value in ("frog", "-1", ""):
        status, out, err = run([ring3, f"--seed={value}"])
        checks.check(f"--seed={value}", status == 1 and "seed" in err and err.count("\n") == 1, repr(err))


def main():
    ring3, demos = sys.argv[1], sys.argv[2:]
    for demo in demos:
        for engine in ("interp", "translate"):
            in_lockstep(ring3, demo, engine)
    bad_seed(ring3)
    checks.end()


main()
