#!/usr/bin/env python3
"""The switches of -accel and the logs of the engine, each with the demo guest.

    test_accel.py RING3 DEMO32 DEMO64 SENSITIVE
"""
import os
import re
import struct
import sys
import tempfile

from harness import Checks
from session import Session, run

checks = Checks()


def counters(ring3, demo, *options):
    """What info jit says once the guest has done something; None without a translator."""
    session = Session([ring3, "-kernel", demo, "-nographic", *options])
    name = " ".join(options)
    checks.check(f"{name}: prompt", session.expect("demo> "), session.text)
    session.type("cpu\r")
    checks.check(f"{name}: answers", session.expect("demo> "), session.text)
    session.type("\001c")
    session.expect(r"\(ring3\) ")
    text = session.ask("info jit")
    checks.check(f"{name}: info callouts", "callouts: " in session.ask("info callouts"), session.text)
    session.type("quit\r")
    checks.check(f"{name}: ends", session.wait() == 0, session.text)
    session.close()
    if "no translator" in text:
        return None
    found = dict(re.findall(r"^(\w[\w ]*?) +(\d+)\r?$", text, re.M))
    checks.check(f"{name}: counters", "blocks translated" in found, repr(text))
    return {key: int(value) for key, value in found.items()}


def switches(ring3, demo):
    count = counters(ring3, demo, "-accel", "translate,threshold=1")
    checks.check("translates", count["blocks translated"] > 100, count)
    checks.check("links", count["links made"] > 50, count)
    checks.check("bytes", count["host bytes emitted"] > count["guest bytes translated"] > 200, count)
    used = count["code cache bytes used"]
    checks.check("cache", count["host bytes emitted"] < used <= count["code cache bytes"], count)
    checks.check("nothing evicted", count["code cache evictions"] == 0, count)
    count = counters(ring3, demo, "-accel", "translate,threshold=1", "--no-chain")
    checks.check("--no-chain", count["links made"] == 0 and count["blocks translated"] > 100, count)
    count = counters(ring3, demo, "-accel", "translate,threshold=1", "--translate-limit", "7")
    checks.check("--translate-limit", count["blocks translated"] == 7, count)
    checks.check("--interp-only", counters(ring3, demo, "--interp-only") is None)


def scripted(ring3, guest, log, *options, seconds=120):
    status, out, err = run([ring3, "-kernel", guest, "-append", "x run=cpu,off", "-display", "none", "-serial",
                            "stdio", "-monitor", "none", "-no-reboot", "-D", log, *options], seconds=seconds)
    with open(log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    name = " ".join(options)
    checks.check(f"{name}: runs", status == 0, f"{status} {out[-300:]!r} {err!r}")
    checks.check(f"{name}: logs", lines, err)
    return lines


def entry(path):
    with open(path, "rb") as file:
        return struct.unpack_from("<I", file.read(64), 24)[0]


def logs(ring3, demo, demo64, sensitive, log):
    at = entry(demo)
    translate = ["-accel", "translate,threshold=1"]
    lines = scripted(ring3, demo, log, *translate, "-d", "exec")
    parsed = [re.fullmatch(r"exec ([0-9a-f]{8}) (real|prot) (16|32)-bit", line) for line in lines]
    checks.check("exec: lines", all(parsed), [line for line, found in zip(lines, parsed) if not found][:3])
    checks.check("exec: the entry", f"exec {at:08x} prot 32-bit" in lines, lines[:3])
    addresses = {found.group(1) for found in parsed if found}
    checks.check("exec: many blocks", len(addresses) > 100, len(addresses))
    again = {line.split()[1] for line in scripted(ring3, demo, log, "--interp-only", "-d", "exec")}
    checks.check("exec: as the interpreter", len(addresses & again) > 0.9 * len(addresses | again),
                 f"{len(addresses)} and {len(again)}")

    for text in (f"{at:#x}+1", f"{at}+1", f"0x5..0x6,{at:#x}..{at:#x}", f"{at:#x}-1"):
        lines = scripted(ring3, demo, log, *translate, "-d", "exec", "-dfilter", text)
        checks.check(f"-dfilter {text}", set(lines) == {f"exec {at:08x} prot 32-bit"}, lines[:3])
    lines = scripted(ring3, demo, log, *translate, "-d", "in_asm,out_asm", "-dfilter", f"{at:#x}+1")
    blocks = [line for line in lines if line.startswith("block ")]
    checks.check("-dfilter and in_asm", blocks and all(f": linear {at:x}," in line for line in blocks), blocks[:3])

    lines = scripted(ring3, demo, log, *translate, "--one-insn-per-block", "-d", "in_asm")
    headings = [line for line in lines if "host code" in line]
    checks.check("--one-insn-per-block",
                 len(headings) > 300 and all(" 1 instruction," in line for line in headings), headings[:3])

    lines = scripted(ring3, demo64, log, "-d", "mmu")
    checks.check("mmu: fills", any(re.fullmatch(r"mmu: fill, PCID 0: linear [0-9a-f]+ is physical [0-9a-f]+, "
                                                r"[r-][w-][x-](, global)?(, writes in line)?", line)
                                   for line in lines), lines[:3])
    checks.check("mmu: flushes", any(line.startswith("mmu: flush of PCID 0") for line in lines), lines[:3])
    lines = scripted(ring3, sensitive, log, "-cpu", "max,+monitor", "-d", "smc", seconds=300)
    checks.check("smc", all(re.fullmatch(r"smc: \d+ bytes at physical [0-9a-f]+ changed: \d+ blocks killed, "
                                         r"\d+ patched", line) for line in lines), lines[:3])
    lines = scripted(ring3, demo, log, "--interp-only", "-d", "callout")
    checks.check("callouts of the interpreter", lines == ["callouts: none, the interpreter runs the guest"], lines)


def main():
    ring3, demo, demo64, sensitive = map(os.path.abspath, sys.argv[1:5])
    switches(ring3, demo)
    with tempfile.TemporaryDirectory(prefix="ring3-accel-") as scratch:
        logs(ring3, demo, demo64, sensitive, os.path.join(scratch, "log"))
    checks.end()


main()
