#!/usr/bin/env python3
"""C sources look as .clang-format says, and no line is longer than 100 characters (comments, which
clang-format leaves alone; not tables under "clang-format off").

    test_format.py CLANG_FORMAT ROOT FOLDER...
"""
import os
import re
import subprocess
import sys

from harness import Checks

COLUMNS = 100
WRITTEN_BY = 14  # the major version whose layout the sources have; others differ in details
TABLE = re.compile(r"/\* clang-format off \*/.*?/\* clang-format on \*/", re.DOTALL)
SKIPPED = 77  # to meson


def sources(root, folders):
    for folder in folders:
        for path, _, files in os.walk(os.path.join(root, folder)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(path, name), root)


def long_lines(text):
    text = TABLE.sub(lambda table: "\n" * table[0].count("\n"), text)
    return [number for number, line in enumerate(text.split("\n"), 1) if len(line) > COLUMNS]


def main():
    command, root, folders = sys.argv[1], sys.argv[2], sys.argv[3:]
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    major = int(re.search(r"version (\d+)", version.stdout)[1])
    if major != WRITTEN_BY:
        print(f"clang-format {major}, not {WRITTEN_BY}: not looked at")
        sys.exit(SKIPPED)
    checks = Checks()
    names = list(sources(root, folders))
    run = subprocess.run([command, "--dry-run", *names], cwd=root, capture_output=True, text=True,
                         check=True)
    lines = {}
    for name, line in re.findall(r"^([^:\s]+):(\d+):\d+: warning:", run.stderr, re.MULTILINE):
        lines.setdefault(name, []).append(line)
    for name in names:
        wrong = sorted(set(lines.get(name, [])), key=int)
        checks.check(name, not wrong, f"clang-format -i would change line {', '.join(wrong)}")
        with open(os.path.join(root, name), encoding="utf-8") as file:
            wrong = long_lines(file.read())
        checks.check(name, not wrong, f"more than {COLUMNS} characters in line {wrong}")
    checks.end()


main()
