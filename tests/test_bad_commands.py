#!/usr/bin/env python3
"""Bad command lines: each gives one line on stderr that names the thing and the remedy, status 1,
nothing on stdout, and leaves every file as it was.

    test_bad_commands.py RING3 DEMO32
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from harness import Checks, tree

# Arguments, and a regular expression for the line after "ring3: ".  {demo} is a good kernel; the other
# files are made by prepare().
ROWS = [
    # words that are no options
    ("-foo", r"-foo: no such option; ring3 -help lists them"),
    ("-kernal {demo}", r"-kernal: no such option; did you mean -kernel\?"),
    ("--memory 64", r"--memory: no such option"),
    ("-nographics", r"-nographics: no such option; did you mean -nographic\?"),
    ("-no-rebot", r"-no-rebot: no such option; did you mean -no-reboot\?"),
    ("--cdrom2 x", r"--cdrom2: no such option; did you mean -cdrom\?"),
    ("-enable-kvm", r"-enable-kvm: ring3 runs without virtualisation.*leave it out"),
    ("-vnc :1", r"-vnc: .*screendump"),
    ("-qmp stdio", r"-qmp: .*-monitor"),
    ("-s", r"-s: .*gdb stub"),
    ("-netdev user,id=n0", r"-netdev: this version has no network; leave it out"),
    # values that are missing
    ("-m", r"-m: its value is missing; write -m SIZE"),
    ("-kernel", r"-kernel: its value is missing; write -kernel FILE"),
    ("-append", r"-append: its value is missing"),
    ("-kernel ''", r"-kernel: the name is empty; give a path"),
    # memory
    ("-m 0", r"-m 0: too little for a PC; give at least 1M"),
    ("-m 512K", r"-m 512K: too little"),
    ("-m -5", r"-m: '-5' is no size; give a number with K, M, G or T"),
    ("-m lots", r"-m: 'lots' is no size"),
    ("-m 64MB", r"-m: '64MB' is no size"),
    ("-m 900T", r"-m 900T: more than this host has; give at most \d+M"),
    ("-m 99999999999999999999", r"-m: '99999999999999999999' is no size"),
    ("-m 18014398509481984K", r"-m: 18014398509481984K is more than 64 bits can count"),
    ("-m 64,slots=2", r"-m: no such setting 'slots'"),
    ("-m ''", r"-m: the size is missing"),
    # processor, machine, accelerator
    ("-cpu z80", r"-cpu: unknown model .z80.; use 486"),
    ("-cpu qemu64,+nonsense", r"nonsense"),
    ("-smp 2", r"-smp 2: this version has one processor; use -smp 1"),
    ("-smp cpus=0", r"-smp cpus=0: this version has one processor"),
    ("-smp many", r"-smp many: this version has one processor"),
    ("-smp 1,dies=1", r"-smp: no such setting 'dies'"),
    ("-machine q35", r"-machine q35: this version has one machine; use -machine pc"),
    ("-M microvm", r"-M microvm: this version has one machine; use -M pc"),
    ("-dfilter ''", r"-dfilter : no range; write START\+SIZE, START-SIZE or START\.\.END"),
    ("-dfilter 0x1000", r"-dfilter 0x1000: no range; write START\+SIZE"),
    ("-dfilter 0x1000+0x10,zebra+1", r"-dfilter zebra\+1: no range"),
    ("-dfilter 0x+0x10", r"-dfilter 0x\+0x10: no range"),
    ("-dfilter 100+0", r"-dfilter 100\+0: no range"),
    ("-dfilter 10-0x100", r"-dfilter 10-0x100: no range"),
    ("-dfilter 0x20..0x10", r"-dfilter 0x20\.\.0x10: no range"),
    ("-dfilter 1.2", r"-dfilter 1\.2: no range"),
    ("-dfilter 0xffffffffffffffff+2", r"-dfilter 0xffffffffffffffff\+2: no range"),
    ("-dfilter 0x10000000000000000+1", r"no range"),
    ("-dfilter 1+1,", r"-dfilter : no range"),
    ("-accel kvm", r"-accel kvm: .*use -accel translate or -accel interp"),
    ("-accel translate,windows=yes", r"-accel: windows=yes: give auto, off or always"),
    ("-accel translate,windows=", r"-accel: windows=: give auto, off or always"),
    ("-accel windows=alwaysoff", r"-accel: windows=alwaysoff: give auto, off or always"),
    ("-accel translate,cache=1M", r"-accel: cache=1M is out of range; give 2M to 1G"),
    ("-accel translate,threshold=0", r"-accel: .*0.*1"),
    ("-accel translate,window=off", r"-accel: no such setting 'window'; there are cache=SIZE, threshold=N and windows="),
    # kernels
    ("-kernel missing", r"-kernel missing: No such file or directory; check the path"),
    ("-kernel folder", r"-kernel folder: this is a directory; give a file in it"),
    ("-kernel empty", r"-kernel empty: the file is empty"),
    ("-kernel text", r"text: .*kernel"),
    ("-kernel truncated", r"truncated: .*"),
    ("-kernel /dev/null", r"-kernel /dev/null: neither a file nor a disk"),
    ("-initrd text", r"-initrd text: there is no kernel to take it; add -kernel FILE"),
    ("-append quiet", r"-append: there is no kernel to read it; add -kernel FILE"),
    ("-kernel {demo} -initrd missing", r"-initrd missing: No such file or directory"),
    ("-kernel {demo} -initrd folder", r"-initrd folder: this is a directory"),
    ("-kernel {demo} -initrd 'text,missing x'", r"-initrd missing: No such file"),
    # firmware
    ("-bios missing", r"-bios missing: No such file or directory"),
    ("-bios text", r"text: .*firmware.*64 KiB"),
    ("-L missing", r"-L missing: no bios-256k.bin and no bios.bin there"),
    # drives
    ("-hda missing", r"drive missing: No such file or directory; check the path"),
    ("missing", r"drive missing: No such file or directory"),
    ("-hda folder", r"drive folder: this is a directory; give a file in it"),
    ("-cdrom empty", r"drive empty: the file is empty"),
    ("-hda /dev/null", r"drive /dev/null: neither a file nor a disk"),
    ("-cdrom cut.iso", r"cut.iso: the image is truncated: 40960 bytes of 2048000; fetch it again"),
    ("-hda disk -hda disk", r"disk: place 0 is taken by disk; give another index"),
    ("-hda disk -hdb disk", r"drive disk: it is the same file as drive disk"),
    ("-cdrom text -hdc disk", r"disk: place 2 is taken by text"),
    ("-drive if=ide", r"-drive: a disk needs a file; add file=PATH"),
    ("-drive file=disk,if=scsi", r"-drive if=scsi: this version has no such interface; use ide, floppy or none"),
    ("-drive file=disk,format=qcow2", r"-drive format=qcow2: .*qemu-img convert -O raw"),
    ("-drive file=disk,media=tape", r"-drive media=tape: no such medium; use disk or cdrom"),
    ("-drive file=disk,index=9", r"-drive index: 9 is out of range"),
    ("-drive file=disk,index=x", r"-drive index: 'x' is no number"),
    ("-drive file=disk,snapshot=perhaps", r"-drive snapshot: 'perhaps' is neither on nor off"),
    ("-drive file=disk,colour=red", r"-drive: no such setting 'colour'"),
    ("-drive =x", r"-drive: a setting without a name"),
    ("-drive file=text,if=floppy,index=3", r"text: index=3: there are two floppy drives"),
    ("-drive file=text,if=floppy,media=cdrom", r"text: a CD-ROM does not fit a floppy drive"),
    ("-fda odd", r"odd: is no floppy"),
    ("-hda disk.qcow2", r"disk.qcow2: .*qemu-img convert"),
        # boot order
    ("-boot z", r"-boot order=z: give letters of a"),
    ("-boot order=cc", r"-boot order=cc: a letter stands twice"),
    ("-boot menu=perhaps", r"-boot menu: 'perhaps' is neither on nor off"),
    ("-boot banana=1", r"-boot: no such setting 'banana'"),
    # streams
    ("-serial stdio -monitor stdio", r"-monitor stdio: the terminal already serves -serial stdio; use -serial mon:stdio"),
    ("-serial stdio -serial stdio", r"-serial stdio: the terminal already serves -serial stdio"),
    ("-serial mon:stdio -monitor stdio", r"-monitor stdio: there is one monitor, and -serial mon: has it"),
    ("-serial stdio -debugcon stdio", r"-debugcon stdio: the terminal already serves -serial stdio"),
    ("-serial mon:stdio -serial mon:pty", r"-serial mon:pty: the monitor is already shared with -serial mon:stdio"),
    ("-serial tcp:localhost:99", r"-serial tcp:localhost:99: no such stream; there are stdio"),
    ("-serial mon:null", r"-serial mon:null: the monitor can share stdio, pty or unix:PATH"),
    ("-serial file:", r"-serial file: the file's name is missing; write file:PATH"),
    ("-serial file:nowhere/log", r"-serial file:nowhere/log: the folder nowhere: No such file or directory; make it first"),
    ("-serial file:folder", r"-serial file:folder: this is a directory"),
    ("-hda disk -serial file:disk", r"-serial file:disk: it would overwrite disk, which the guest reads"),
    ("-serial unix:", r"-serial unix: the path of the socket is missing"),
    ("-serial unix:nobody", r"-serial unix:nobody: nobody listens there"),
    ("-serial unix:text,server", r"-serial unix:text,server: this is no socket"),
    ("-serial unix:x,wait", r"-serial unix: wait is for a server"),
    ("-serial unix:x,server,loud", r"-serial unix: no such setting 'loud'"),
    ("-serial unix:{long},server", r"a socket's path has at most 107 bytes"),
    ("-serial null -serial null -serial null -serial null -serial null", r"-serial null: a PC has 4 serial ports"),
    ("-monitor file:log", r"-monitor file:log: a file cannot be typed into"),
    ("-debugcon mon:stdio", r"-debugcon mon:stdio: the monitor can be shared with -serial only"),
    # screen and devices
    ("-display gtk", r"-display gtk: this version has no window; use -display none"),
    ("-vga qxl", r"-vga qxl: this version has the standard VGA only; use -vga std"),
    ("-net user", r"-net user: this version has no network card; use -net none"),
    ("-device e1000", r"-device e1000: no such device in this version; there is isa-debug-exit"),
    ("-device isa-debug-exit,iobase=70000", r"-device isa-debug-exit iobase: 70000 is out of range"),
    ("-device isa-debug-exit,iosize=3", r"-device isa-debug-exit iosize: 3 ports; give 1, 2 or 4"),
    ("-device isa-debug-exit,colour=1", r"-device isa-debug-exit: no such setting 'colour'"),
    ("-global VGA.vgamem_mb=64", r"-global VGA.vgamem_mb=64: no such property in this version"),
    # the rest
    ("-rtc base=tomorrow", r"-rtc base: 'tomorrow' is no date"),
    ("-rtc base=2026-02-31", r"-rtc base: '2026-02-31': that month has fewer days"),
    ("-rtc clock=vm", r"-rtc: no such setting 'clock'"),
    ("-d int,nonsense", r"-d nonsense: no such log channel; -d help lists them"),
    ("-D nowhere/log", r"-D nowhere/log: the folder nowhere"),
    ("-D folder", r"-D folder: this is a directory"),
    ("-kernel {demo} -D {demo}", r"-D .*: it would overwrite .*demo32.elf"),
    ("-pidfile nowhere/pid", r"-pidfile nowhere/pid: the folder nowhere"),
    # block traces
    ("-trace-blocks", r"-trace-blocks: its value is missing; write -trace-blocks FILE"),
    ("-accel interp -trace-blocks out", r"-trace-blocks out: the interpreter translates nothing; .*-accel translate"),
    ("-trace-blocks nowhere/out", r"-trace-blocks nowhere/out: the folder nowhere"),
    ("-trace-blocks folder", r"-trace-blocks folder: this is a directory"),
    ("-kernel {demo} -trace-blocks {demo}", r"-trace-blocks .*: it would overwrite .*demo32.elf"),
    ("-kernel text -trace-blocks out", r"text: .*kernel"),
    ("trace", r"trace: no file; see ring3 trace --help"),
    ("trace --what text", r"--what: no such option; see ring3 trace --help"),
    ("trace --top", r"--top: needs a value"),
    ("trace --top 0 text", r"--top: 0 is out of range"),
    ("trace text empty", r"empty: one trace at a time"),
    ("trace missing", r"missing: cannot open: No such file or directory; check the path"),
    ("trace folder", r"folder: this is a directory; give a file in it"),
    ("trace empty --drcov out", r"empty: empty; a trace begins with 'ring3trc'"),
    ("trace text --perf-map out", r"text: no block trace: .*--trace-blocks FILE"),
    ("trace disk --list --drcov out", r"disk: no block trace"),
    ("trace text --drcov text", r"text: it would overwrite the trace"),
    # the machine is refused after the files were named: they must not appear
    ("-kernel text -D log -pidfile pid -serial file:out -monitor unix:sock,server,nowait", r"text: .*kernel"),
    ("-bios text -D log -serial file:out", r"text: .*firmware"),
]
# Only where the permissions of files count, that is not for root.
ROWS_OF_USERS = [
    ("-kernel secret", r"-kernel secret: Permission denied; let this user read it"),
    ("-hda readonly", r"drive readonly: cannot be written: Permission denied; add readonly=on"),
    ("-serial file:sealed/log", r"-serial file:sealed/log: the folder sealed: Permission denied"),
]


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def prepare(folder, demo):
    os.mkdir(os.path.join(folder, "folder"))
    os.mkdir(os.path.join(folder, "sealed"), 0o555)
    iso = bytearray(40960)
    iso[32768:32774] = b"\x01CD001"
    iso[32848:32852] = (1000).to_bytes(4, "little")
    with open(demo, "rb") as file:
        kernel = file.read()
    contents = {
        "empty": b"",
        "text": b"This is no kernel, no firmware, and no disk.\n" * 64,
        "truncated": kernel[: len(kernel) // 3],
        "cut.iso": bytes(iso),
        "disk": bytes(1 << 20),
        "disk.qcow2": b"QFI\xfb\0\0\0\x03" + bytes(65528),
        "odd": bytes(3 << 20),
        "secret": b"x" * 4096,
        "readonly": bytes(1 << 20),
    }
    for name, data in contents.items():
        write(os.path.join(folder, name), data)
    os.chmod(os.path.join(folder, "secret"), 0)
    os.chmod(os.path.join(folder, "readonly"), 0o444)


def main():
    ring3, demo = map(os.path.abspath, sys.argv[1:3])
    checks = Checks()
    folder = tempfile.mkdtemp(prefix="ring3-bad-")
    prepare(folder, demo)
    before = tree(folder)
    rows = ROWS + (ROWS_OF_USERS if os.geteuid() else [])
    for arguments, expected in rows:
        line = arguments.format(demo=demo, long="x" * 120)
        command = f"exec {ring3} {line}"
        try:
            run = subprocess.run(["sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            checks.check(arguments, False, "it ran on")
            continue
        said = run.stderr.decode(errors="replace")
        lines = said.splitlines()
        problem = ""
        if run.returncode != 1:
            problem = f"status {run.returncode}; said {said!r}"
        elif len(lines) != 1 or not re.match("ring3: " + ("" if expected[0] == "-" else ".*") + expected, lines[0]):
            problem = f"said {said!r}, not {expected!r}"
        elif run.stdout:
            problem = f"stdout {run.stdout!r}"
        elif tree(folder) != before:
            problem = f"files changed: {sorted(set(tree(folder)) ^ set(before))}"
            shutil.rmtree(folder)
            os.mkdir(folder)
            prepare(folder, demo)
            before = tree(folder)
        checks.check(arguments, not problem, problem)
    os.chmod(os.path.join(folder, "sealed"), 0o755)
    shutil.rmtree(folder)
    checks.end()


main()
