#!/usr/bin/env python3
"""Block traces of the demo guests: written by a run, read by `ring3 trace`, exported; the logs of code.

    test_trace.py RING3 DEMO32 DEMO64
"""
import os
import re
import struct
import sys
import tempfile

from harness import Checks
from session import run

checks = Checks()
HEADING = re.compile(r"^block (\d+): linear ([0-9a-f]+), physical ([0-9a-f]+),.* CR3 [0-9a-f]+, (.+)$", re.M)
COUNTS = re.compile(r"^  \d+ instructions?, \d+ bytes?; host code \d+ bytes; executed (\d+) times", re.M)
GUEST = re.compile(r"^[=~!?] [0-9a-f]{8,16}  [0-9a-f]+ +[a-z][^|\n]*$", re.M)
HOST = re.compile(r"^[0-9a-f]{4}  [a-z]+", re.M)
BOTH = re.compile(r"^[=~!?] [0-9a-f]{8,16}  [0-9a-f]+ +\S.* \| [0-9a-f]{4}  \S", re.M)


def parse_drcov(path):
    """Modules [(start, end, name)] and blocks [(offset, bytes, module)], or why not."""
    with open(path, "rb") as file:
        if file.readline() != b"DRCOV VERSION: 2\n" or file.readline() != b"DRCOV FLAVOR: drcov\n":
            return "no drcov head"
        head = re.fullmatch(rb"Module Table: version 3, count (\d+)\n", file.readline())
        if not head or file.readline() != b"Columns: id, containing_id, start, end, entry, path\n":
            return "no table of modules"
        modules = []
        for number in range(int(head[1])):
            fields = file.readline().decode().strip().split(", ")
            if len(fields) != 6 or int(fields[0]) != number or int(fields[1]) != number:
                return f"module {number}: {fields}"
            modules.append((int(fields[2], 16), int(fields[3], 16), fields[5]))
        head = re.fullmatch(rb"BB Table: (\d+) bbs\n", file.readline())
        rest = file.read()
        if not head or len(rest) != 8 * int(head[1]):
            return f"{len(rest)} bytes for {head and head[1]} blocks"
        return modules, list(struct.iter_unpack("<IHH", rest))


def check_drcov(name, path, listed):
    drcov = parse_drcov(path)
    if isinstance(drcov, str):
        checks.check(f"{name}: drcov", False, drcov)
        return
    modules, blocks = drcov
    outside = [one for one in blocks if modules[one[2]][0] + one[0] + one[1] > modules[one[2]][1]]
    checks.check(f"{name}: blocks lie in their modules", not outside, outside[:5])
    covered = {(modules[module][0] + offset, size) for offset, size, module in blocks}
    checks.check(f"{name}: drcov has what the list has", covered == listed,
                 f"{len(covered)} of {len(listed)}: {sorted(covered ^ listed)[:5]}")
    checks.check(f"{name}: the named module", "image" in [one[2] for one in modules], modules)


def check_perf_map(name, path):
    with open(path, encoding="ascii") as file:
        spans = [(int(fields[0], 16), int(fields[1], 16)) for fields in map(str.split, file)]
    checks.check(f"{name}: perf map", spans and all(size for _, size in spans), spans[:5])
    checks.check(f"{name}: nothing overlaps in it",
                 all(a + size <= b for (a, size), (b, _) in zip(spans, spans[1:])))


def check_list(ring3, name, trace):
    """The blocks' addresses and sizes."""
    status, out, err = run([ring3, "trace", "--list", trace])
    rows = [line.split() for line in out.splitlines()[1:]]
    checks.check(f"{name}: list", status == 0 and len(rows) > 50 and not err, f"{status} {err} {len(rows)}")
    ids = [int(row[0]) for row in rows]
    checks.check(f"{name}: ids ascend", ids == sorted(set(ids)))
    executed = {int(row[0]): int(row[-1]) for row in rows}
    status, out, err = run([ring3, "trace", trace, "--top", "10"])
    headings, counts = HEADING.findall(out), [int(count) for count in COUNTS.findall(out)]
    checks.check(f"{name}: the hottest ten", status == 0 and len(headings) == len(counts) == 10, f"{err}{out}")
    checks.check(f"{name}: hottest first", counts == sorted(executed.values(), reverse=True)[:10], counts)
    checks.check(f"{name}: guest beside host", len(BOTH.findall(out)) >= 10, out)
    checks.check(f"{name}: none unknown to the disassembler", "(bad)" not in out, out)
    return {(int(row[1], 16), int(row[-3])) for row in rows}


def traced(ring3, demo, name, folder):
    trace = os.path.join(folder, f"{name}.trace")
    status, out, err = run([ring3, "-kernel", demo, "-append", "x run=cpu,mem,pci,off", "-display",
                            "none", "-serial", "stdio", "-no-reboot", "-trace-blocks", trace])
    checks.check(f"{name}: runs as without", status == 0 and "power off" in out and not err, f"{status} {out} {err}")
    listed = check_list(ring3, name, trace)
    status, out, err = run([ring3, "trace", trace])
    checks.check(f"{name}: summary", status == 0 and re.search(r": \d+ blocks, executed \d+ times\n", out), out)
    status, out, err = run([ring3, "trace", trace, "--policies"])
    checks.check(f"{name}: policies", status == 0 and "identical" in out and "callout" in out, out)
    drcov, perf = os.path.join(folder, "drcov"), os.path.join(folder, "map")
    status, out, err = run([ring3, "trace", trace, "--drcov", drcov, "--perf-map", perf, "--module",
                            "image=0x100000+0x100000"])
    checks.check(f"{name}: exports", (status, out, err) == (0, "", ""), f"{status} {out} {err}")
    check_drcov(name, drcov, listed)
    check_perf_map(name, perf)
    with open(trace, "rb") as file:
        data = file.read()
    with open(trace, "wb") as file:
        file.write(data[:len(data) * 2 // 3])
    status, out, err = run([ring3, "trace", trace])
    checks.check(f"{name}: cut off", status == 1 and re.search(r"damaged at offset \d+: it is cut off", err), err)


def logged(ring3, demo, channels, pattern, folder):
    log = os.path.join(folder, "log")
    status, out, _ = run([ring3, "-kernel", demo, "-append", "x run=cpu,off", "-display", "none", "-serial",
                          "stdio", "-no-reboot", "-d", channels, "-D", log])
    with open(log, encoding="utf-8") as file:
        text = file.read()
    checks.check(f"-d {channels}", status == 0 and len(HEADING.findall(text)) > 50 and
                 len(pattern.findall(text)) > 50, f"{status} {out} {text[:2000]}")


def main():
    ring3, demo32, demo64 = map(os.path.abspath, sys.argv[1:4])
    with tempfile.TemporaryDirectory(prefix="ring3-trace-") as folder:
        traced(ring3, demo32, "demo32", folder)
        traced(ring3, demo64, "demo64", folder)
        logged(ring3, demo64, "in_asm", GUEST, folder)
        logged(ring3, demo64, "out_asm", HOST, folder)
        logged(ring3, demo64, "in_asm,out_asm", BOTH, folder)
    checks.end()


main()
