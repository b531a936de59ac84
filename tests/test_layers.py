#!/usr/bin/env python3
"""The floors: no include goes up, none goes sideways to another folder, and every header compiles
alone.

    test_layers.py ROOT COMPILER...
"""
import os
import re
import subprocess
import sys
import tempfile

from harness import Checks

FLOORS = {"base": 0, "softmmu": 1, "cpu": 2, "hw": 2, "translate": 3, "machine": 4, "conform": 4, "ui": 5}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def sources(root):
    for folder in FLOORS:
        for path, _, files in os.walk(os.path.join(root, folder)):
            for name in sorted(files):
                if name.endswith((".c", ".h", ".def")):
                    yield folder, os.path.join(path, name)


def main():
    root, compiler = os.path.abspath(sys.argv[1]), sys.argv[2:]
    checks = Checks()
    headers = []
    for folder, path in sources(root):
        name = os.path.relpath(path, root)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wrong = []
        for included in INCLUDE.findall(text):
            other = included.split("/")[0]
            if "/" not in included or other not in FLOORS:
                wrong.append(f"{included} (write the folder)")
            elif FLOORS[other] > FLOORS[folder]:
                wrong.append(f"{included} (upwards)")
            elif FLOORS[other] == FLOORS[folder] and other != folder:
                wrong.append(f"{included} (sideways)")
            elif other != folder and included.endswith("_priv.h"):
                wrong.append(f"{included} (the inside of {other})")
        # Generated tables and .def files stand in the including file's own folder.
        wrong = [one for one in wrong if not one.split()[0].endswith((".hex", ".inc"))]
        checks.check(name, not wrong, ", ".join(wrong))
        if name.endswith(".h"):
            headers.append(name)
    with tempfile.TemporaryDirectory() as scratch:
        for name in headers:
            unit = os.path.join(scratch, "alone.c")
            with open(unit, "w", encoding="utf-8") as file:
                file.write(f'#include "{name}"\n')
            run = subprocess.run(
                compiler + ["-std=gnu17", "-D_GNU_SOURCE", '-DRING3_VERSION=""', "-I", root,
                            "-fsyntax-only", unit],
                capture_output=True, text=True, check=False)
            checks.check(f"{name} compiles alone", run.returncode == 0, run.stderr)
    checks.end()


main()
