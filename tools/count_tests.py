#!/usr/bin/env python3
"""Counts what a meson test log (testlog.json) ran: prints "PASSED FAILED".

A Criterion binary says how many tests it held ("Tested: 5 | Passing: 5 | Failing: 0 | ..."), a script
of ours ends in "N passed, N failed"; a test that says neither counts as one.
"""
import json
import re
import sys

CRITERION = re.compile(r"Tested:\D*(\d+)\D*Passing:\D*(\d+)\D*Failing:\D*(\d+)\D*Crashing:\D*(\d+)")
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def count(test):
    text = COLOURS.sub("", test.get("stdout", "") + test.get("stderr", ""))
    succeeded = test["result"] in ("OK", "EXPECTEDFAIL")
    if test["result"] == "SKIP":
        return 0, 0
    criterion = CRITERION.search(text)
    if criterion:
        tested, passing, failing, crashing = map(int, criterion.groups())
        failed = failing + crashing
        passed = passing
    elif SCRIPT.search(text):
        passed, failed = map(int, SCRIPT.findall(text)[-1])
    else:
        passed, failed = (1, 0) if succeeded else (0, 1)
    if not succeeded and failed == 0:
        failed = 1
    return passed, failed


def main():
    passed = failed = ran = 0
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            one_passed, one_failed = count(json.loads(line))
            ran += 1
            passed += one_passed
            failed += one_failed
    if not ran:
        sys.exit("no test ran")
    print(passed, failed)


main()
