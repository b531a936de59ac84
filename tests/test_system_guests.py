"""Guests of the system suite (tests/system) under each engine: RING3 MODEL[;MODEL...] [--reboots] GUEST...

Each line "ok TOPIC: NAME (SECTION)" is a case that passed; both engines must print the same.
Several guests may be given; a table of cases and checks by topic comes at the end.
"""
import re
import sys

from harness import Checks
from session import run

ENGINES = (["-accel", "interp"], ["-accel", "translate,threshold=1"])
EXIT_PASSED = 1  # isa-debug-exit: (value << 1) | 1
CASE = re.compile(r"(ok|not ok) ([\w-]+): (.*) \((SDM|APM\d) [^()]+\)(?:: (.*))?")
TOTAL = re.compile(r"total ([\w-]+): (\d+) cases, (\d+) checks, (\d+) failed")

checks = Checks()


def run_guest(ring3, guest, model, engine, options):
    """Its lines, checked one by one."""
    where = f"{' '.join(engine)} -cpu {model}"
    status, out, err = run([ring3, *engine, "-cpu", model, "-kernel", guest, "-m", "64M", "-display", "none",
                            "-serial", "stdio", "-monitor", "none", *options,
                            "-device", "isa-debug-exit,iobase=0xf4,iosize=4"], seconds=300)
    lines = out.replace("\r", "").splitlines()
    seen, remarks = set(), []
    for line in lines:
        found = CASE.fullmatch(line)
        if found:
            name = f"{found[2]}: {found[3]}"
            checks.check(f"{where}: {name}: once", name not in seen)
            checks.check(f"{where}: {name}", found[1] == "ok", "\n    ".join([found[5] or "", *remarks]))
            seen.add(name)
            remarks = []
        elif line.startswith("# "):
            remarks.append(line)
    total = TOTAL.fullmatch(lines[-1]) if lines else None
    checks.check(f"{where}: ran to the end", total and int(total[2]) == len(seen) and seen and
                 status == EXIT_PASSED + 2 * (int(total[4]) > 0),
                 "\n".join([f"{guest}: status {status}", *lines[-3:], err]))
    return lines, total


def main():
    ring3, models, table = sys.argv[1], sys.argv[2].split(";"), {}
    reboots = "--reboots" in sys.argv  # guests that mean to; of any other it is the end
    for guest in [argument for argument in sys.argv[3:] if argument != "--reboots"]:
        for model in models:
            runs = [run_guest(ring3, guest, model, engine, [] if reboots else ["-no-reboot"]) for engine in ENGINES]
            checks.check(f"{guest} -cpu {model}: both engines say the same", runs[0][0] == runs[1][0])
            total = runs[0][1]
            if total:
                table[total[1]] = max(table.get(total[1], (0, 0)), (int(total[2]), int(total[3])))
    print(f"{'topic':24} {'cases':>6} {'checks':>10}")
    for topic, (cases, count) in table.items():
        print(f"{topic:24} {cases:6} {count:10}")
    checks.end()


main()
