#!/usr/bin/env python3
"""Boots the demo guests: scripted, by hand on a terminal, under the monitor; ways to end.

    test_demo_guest.py RING3 DEMO32 DEMO64
"""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from harness import Checks
from session import Session, run

checks = Checks()


def scripted(ring3, demo, mode):
    status, out, err = run([ring3, "-kernel", demo, "-append", "x run=cpu,mem,pci,time,colours,off",
                            "-display", "none", "-serial", "stdio", "-no-reboot"])
    detail = f"status {status}, {out!r}, {err!r}"
    checks.check(f"{mode}: powers off", status == 0 and "power off" in out, detail)
    checks.check(f"{mode}: says its mode", f"ring3 demo guest, {mode}" in out, detail)
    checks.check(f"{mode}: memory map", re.search(r"0000000000100000 \+ 00000000\w{8}  RAM", out), detail)
    checks.check(f"{mode}: PCI", all(name in out for name in ("host bridge", "ISA bridge", "VGA")), detail)
    checks.check(f"{mode}: clock", time.strftime("time: %Y-%m-%d", time.gmtime()) in out, detail)
    checks.check(f"{mode}: no word on stderr", err == "", detail)


def png_size(path):
    """Checks the file's chunks and lengths; (width, height, distinct bytes)."""
    with open(path, "rb") as file:
        data = file.read()
    at, pixels, size = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]:
            return None
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        if kind == b"IDAT":
            pixels += body
        at += 12 + length
    raw = zlib.decompress(pixels)
    if len(raw) != size[1] * (3 * size[0] + 1):
        return None
    return size[0], size[1], len(set(raw))


def by_hand(ring3, demo, scratch):
    session = Session([ring3, "-kernel", demo, "-nographic"])
    checks.check("prompt", session.expect("demo> "), session.text)
    session.type("pci\r")
    checks.check("types into the guest", session.expect("host bridge"), session.text)
    session.expect("demo> ")
    session.type("\001c")
    checks.check("monitor prompt", session.expect(r"\(ring3\) "), session.text)

    def answer(line, pattern):
        text = session.ask(line)
        checks.check(line, re.search(pattern, text), repr(text))
        return text

    answer("help", r"(?s)info TOPIC.*system_powerdown.*quit")
    answer("help x", r"x /FORMAT ADDRESS")
    answer("info", r"info registers")
    answer("info status", r"VM status: running")
    answer("info version", r"\d+\.\d+")
    answer("info cpus", r"CPU #0: \w+")
    answer("info registers", r"(?i)[er]ip|[er]ax")
    answer("info mtree", r"(?s)RAM.*[Kk]eyboard|RAM.*8042|RAM.*uart|RAM")
    answer("info pci", r"8086:7000|PIIX|piix|bridge")
    answer("info pic", r".")
    answer("info lapic", r"timer one-shot")
    answer("info clock", r"virtual time \d+ ns, running; \d+ timers armed")
    answer("info irq", r"interrupts delivered: \d+")
    answer("info devices", r"(?s)pic.*vga|vga.*pic")
    answer("info stats", r"instructions +[1-9]\d+")
    answer("info block", r"info block")
    answer("info tlb", r"PPN")
    answer("info mem", r"sr?w|urwx|srwx|paging is off")
    answer("info mem 0x100000", r"PPN 0x100 .*\n.*MPN|PPN 0x100")
    answer("info screen", r"demo>")
    answer("xp /2xw 0x100000", r"0000000000100000: 0x1badb002 0x00000003")
    answer("xp /4xb 0x100000", r"0000000000100000: 0x02 0xb0 0xad 0x1b")
    answer("xp /1xg 0x100000", r"0000000000100000: 0x000000031badb002")
    answer("xp /2dh 0x100000", r"0000000000100000: -20478 +7085")
    answer("xp /1uh 0x100000", r"0000000000100000: 45058")
    answer("xp /1ob 0x100000", r"0000000000100000: 0002")
    answer("xp /2c 0x100000", r"0000000000100000: '\\x02' '\\xb0'")
    answer("xp /s 0xb8000", r"no memory")
    answer("x /1xw $pc", r"[0-9a-f]{16}: 0x[0-9a-f]{8}")
    answer("x /3i $pc", r"(?s)[0-9a-f]{16}:.*[0-9a-f]{16}:.*[0-9a-f]{16}:")
    answer("x /1xw 0x1000000000000", r"no memory|0x")
    answer("p 0x10+0x20-1", r"0x2f")
    answer("p/d $cs", r"(?m)^8$")
    answer("p $nonsense", r"no register 'nonsense'")
    answer("x /8q 0", r"/8q: no such format")
    answer("x zebra", r"'zebra' is no number")
    answer("info nonsense", r"info nonsense: no such topic")
    answer("nonsense", r"no command 'nonsense'")
    answer("sendkey ctrl-zebra", r"no key 'zebra'")
    answer("screendump picture.ppm", r"screendump writes PNG")
    picture = os.path.join(scratch, "picture.png")
    session.ask(f"screendump {picture}")
    size = os.path.exists(picture) and png_size(picture)
    checks.check("screendump", size and size[0] in (640, 720) and size[1] == 400 and size[2] > 2, str(size))
    saved = os.path.join(scratch, "memory")
    session.ask(f"pmemsave 0x100000 8 {saved}")
    with open(saved, "rb") as file:
        checks.check("pmemsave", file.read() == bytes.fromhex("02b0ad1b03000000"))
    answer("stop", r".")
    answer("info status", r"VM status: paused")
    first = session.ask("info stats")
    time.sleep(0.3)
    count = re.compile(r"instructions +(\d+)")
    checks.check("stopped", count.search(first).group(1) == count.search(session.ask("info stats")).group(1), first)
    answer("cont", r".")
    answer("info status", r"VM status: running")
    for key in ("t", "i", "m", "e", "ret"):
        session.type(f"sendkey {key} 20\r")
    checks.check("sendkey reaches the guest", session.expect(r"time: \d{4}-", 20), session.text[-400:])
    session.type("\001c")
    session.type("off\r")
    checks.check("powers off by hand", session.wait() == 0, session.text[-400:])
    checks.check("terminal restored", session.terminal_restored())
    session.close()


def endings(ring3, demo, scratch):
    def started(*more):
        session = Session([ring3, "-kernel", demo, *more])
        checks.check(f"starts {more}", session.expect("demo> "), session.text)
        return session

    def ended(name, session, status=0):
        got = session.wait()
        checks.check(f"{name}: status", got == status, f"{got}: {session.text[-300:]}")
        checks.check(f"{name}: terminal restored", session.terminal_restored())
        session.close()

    pidfile = os.path.join(scratch, "pid")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        session = started("-nographic", "-pidfile", pidfile)
        with open(pidfile, encoding="ascii") as file:
            checks.check("pidfile", int(file.read()) == session.process.pid)
        session.process.send_signal(number)
        ended(number.name, session)
        checks.check(f"{number.name}: pidfile removed", not os.path.exists(pidfile))
    session = started("-nographic")
    session.type("\001x")
    ended("Ctrl-A x", session)
    session = started("-nographic")
    session.type("\003")
    checks.check("Ctrl-C is the guest's", session.wait(1) is None)
    session.type("\001cquit\r")
    ended("quit", session)
    session = started("-nographic", "-no-reboot")
    session.type("reset\r")
    ended("reset under -no-reboot", session)
    session = started("-nographic")
    session.type("reset\r")
    checks.check("resets", session.expect("(?s)reset.*demo> "), session.text[-400:])
    session.type("\001x")
    ended("after a reset", session)
    session = started("-nographic", "-no-shutdown")
    session.type("off\r")
    session.expect("power off")
    session.type("\001c")
    session.expect(r"\(ring3\) ")
    # The guest says that it powers off before it does.
    end = time.monotonic() + 20
    while "shutdown" not in session.ask("info status") and time.monotonic() < end:
        time.sleep(0.1)
    checks.check("-no-shutdown stays", "shutdown" in session.ask("info status"), session.text[-300:])
    session.type("q\r")
    ended("-no-shutdown", session)
    # stop by job control, and go on
    session = started("-nographic")
    session.process.send_signal(signal.SIGTSTP)
    for _ in range(50):
        if os.waitid(os.P_PID, session.process.pid, os.WSTOPPED | os.WNOHANG):
            break
        time.sleep(0.1)
    checks.check("SIGTSTP: terminal restored", session.terminal_restored())
    session.process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    session.type("time\r")
    checks.check("SIGCONT: goes on", session.expect(r"time: \d{4}"), session.text[-300:])
    session.process.send_signal(signal.SIGTERM)
    ended("after SIGCONT", session)


def streams(ring3, demo, scratch):
    """Two sockets: the serial port and the monitor."""
    paths = {name: os.path.join(scratch, name) for name in ("serial", "monitor")}
    process = subprocess.Popen([ring3, "-kernel", demo, "-display", "none",
                                "-serial", f"unix:{paths['serial']},server",
                                "-monitor", f"unix:{paths['monitor']},server,nowait"],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    links = {}
    # A server that waits comes first: only then does the other appear.
    for name, path in paths.items():
        for _ in range(100):
            try:
                links[name] = socket.socket(socket.AF_UNIX)
                links[name].connect(path)
                break
            except OSError:
                time.sleep(0.1)

    def read(name, pattern, seconds=60):
        text, end = "", time.monotonic() + seconds
        while not re.search(pattern, text) and time.monotonic() < end:
            links[name].settimeout(1)
            try:
                got = links[name].recv(65536)
            except TimeoutError:
                continue
            if not got:
                break
            text += got.decode(errors="replace")
        return text

    checks.check("serial over a socket", "demo> " in read("serial", "demo> "))
    links["serial"].sendall(b"pci\r")
    checks.check("into a socket", "host bridge" in read("serial", "demo> "))
    status, out, err = run([ring3, "-kernel", demo, "-display", "none", "-D", os.path.join(scratch, "d"),
                            "-monitor", f"unix:{paths['monitor']},server,nowait"])
    checks.check("a path that is served", status == 1 and not os.path.exists(os.path.join(scratch, "d"))
                 and "another process listens there" in err and not out, f"{status} {out} {err}")
    links["monitor"].close()
    links["monitor"] = socket.socket(socket.AF_UNIX)
    links["monitor"].connect(paths["monitor"])
    links["monitor"].sendall(b"info status\r\n")
    checks.check("monitor over a socket", "running" in read("monitor", "running"))
    links["monitor"].close()
    time.sleep(0.3)
    links["monitor"] = socket.socket(socket.AF_UNIX)
    links["monitor"].connect(paths["monitor"])
    links["monitor"].sendall(b"system_reset\n")
    checks.check("a second client", "(ring3)" in read("monitor", r"\(ring3\)"))
    checks.check("system_reset", "demo> " in read("serial", "demo> "))
    links["monitor"].sendall(b"quit\n")
    checks.check("quit", process.wait(60) == 0)
    checks.check("sockets removed", not any(map(os.path.exists, paths.values())))
    checks.check("says that it waits", b"waiting for a client" in process.stderr.read())
    for link in links.values():
        link.close()
    process.stderr.close()

    log = os.path.join(scratch, "log")
    status, out, err = run([ring3, "-kernel", demo, "-append", "run=off", "-display", "none",
                            "-serial", f"file:{log}"])
    with open(log, encoding="ascii") as file:
        checks.check("serial to a file", status == 0 and "power off" in file.read(), f"{status} {out} {err}")
    # The guest listens a while after it started: what comes earlier is lost, as on any serial line.
    paste = "pci\\r" * 40 + "off\\r"
    status, out, err = run(["sh", "-c", f"(sleep 3; printf '{paste}') | exec {ring3} -kernel {demo} -nographic"])
    checks.check("a long paste through a pipe", status == 0 and out.count("host bridge") == 41
                 and "power off" in out, f"{status} {out} {err}")
    status, out, err = run([ring3, "-kernel", demo, "-display", "none", "-serial", "null", "-monitor", "stdio"],
                           stdin=b"info name\rinfo status\rquit\r")
    checks.check("monitor through a pipe", status == 0 and "VM status: running" in out, f"{status} {out} {err}")


def answers(ring3):
    for option, pattern in (("-help", "(?s)usage: ring3.*-kernel FILE.*-hda"), ("--version", r"ring3 version \d"),
                            ("-h", "usage"), ("-cpu help", "(?s)486.*qemu64.*max"), ("-d help", "cpu_reset"),
                            ("-device help", "isa-debug-exit"), ("-machine help", "pc")):
        status, out, err = run([ring3, *option.split()])
        checks.check(option, status == 0 and re.search(pattern, out) and not err, f"{status} {out!r} {err!r}")


def main():
    ring3, demo32, demo64 = map(os.path.abspath, sys.argv[1:4])
    answers(ring3)
    scripted(ring3, demo32, "32-bit protected mode")
    scripted(ring3, demo64, "64-bit long mode")
    with tempfile.TemporaryDirectory(prefix="ring3-demo-") as scratch:
        for part in (by_hand, endings, streams):
            part(ring3, demo64, scratch)
    checks.end()


main()
