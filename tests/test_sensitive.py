"""The guest images/sensitive under each engine: what it prints against images/sensitive/expected.txt.

Also that nothing sensitive was forgotten: each row of the opcode table that has A_SENSITIVE is what
the bytes of some probe decode to, in every mode where it exists; and the translator's report says
that it rewrote each there.
"""
import fnmatch
import os
import re
import sys
import tempfile

from harness import Checks
from session import run

# The engines, as options; all must print the same.
ENGINES = (["-accel", "interp"], ["-accel", "translate"], ["-accel", "translate,threshold=1"])
MODEL = "max,+monitor"
PATTERNS = {"ax": 0xaa, "cx": 0xcc, "dx": 0xdd, "bx": 0xbb}
# The report's columns, and the modes of the guest that each stands for.
COLUMNS = {"real": "real", "v86": "v86/*,vme/*", "prot16": "pm16/*", "prot32": "pm32/*", "compat": "compat/*",
           "64": "long/*"}
# Probes of instructions that have no row.
NO_ROW = {"RSM"}

checks = Checks()


class Mode:
    """A line "mode NAME key=value ..." of the table: the mode's selectors and sizes."""

    def __init__(self, words):
        self.name = words[0]
        self.values = dict(word.split("=", 1) for word in words[1:])
        self.word = int(self.values["w"])
        self.flags = int(self.values.pop("flags"), 16)
        self.long = self.word == 8
        self.bits = 8 * self.word
        for times in (2, 3, 4, 5):
            self.values[f"{times}w"] = str(times * self.word)
        self.values["r"] = "r" if self.long else "e"

    def register(self, found):
        """ax:16=1234: what the register is after a write of so many bits."""
        name, bits, digits = found.groups()
        bits = 8 * self.word if bits == "w" else int(bits)
        if not re.fullmatch("[0-9a-f]+", digits):
            return f"{self.values['r']}{name}={digits}"
        value = int(digits, 16)
        if bits < 32:
            mask = (1 << bits) - 1
            value = (PATTERNS[name] * 0x0101010101010101 & ~mask) | (value & mask)
        if not self.long:
            value &= 0xffffffff
        return f"{self.values['r']}{name}={value:0{16 if self.long else 8}x}"

    def render(self, text):
        text = re.sub(r"\$([0-9]?[a-z]+[0-9]?)", lambda found: self.values[found.group(1)], text)
        text = text.replace("~", "")
        text = re.sub(r"\bflags:([0-9a-f]+)", lambda found: f"flags={int(found.group(1), 16) | self.flags:08x}",
                      text)
        return re.sub(r"\b([a-d]x|[sd]i|bp):(8|16|32|64|w)=(\S+)", self.register, text)


def braces(*texts):
    """{a,b} in all texts alike: the first of each, the second of each, ..."""
    lists = [found.split(",") for text in texts for found in re.findall(r"\{(.*?)\}", text)]
    for n in range(len(lists[0]) if lists else 1):
        yield [re.sub(r"\{(.*?)\}", lambda found, n=n: found.group(1).split(",")[n], text) for text in texts]


def chosen(patterns, modes):
    wanted = []
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            wanted = [mode for mode in wanted if not fnmatch.fnmatch(mode.name, pattern[1:])]
        else:
            wanted += [mode for mode in modes if fnmatch.fnmatch(mode.name, pattern) and mode not in wanted]
    return wanted


def read_expected(path):
    """{(mode, probe): outcome}; within a probe's entry the first line that fits a mode counts."""
    modes, expected, names = [], {}, ""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("mode "):
                modes.append(Mode(line.split()[1:]))
            elif not line[0].isspace():
                names, entry = line, {}
            else:
                patterns, outcome = line.split(None, 1)
                fitting = [mode for mode in chosen(patterns, modes) if mode.name not in entry]
                checks.check(f"expected.txt:{number}: fits a mode", fitting, line)
                for mode in fitting:
                    entry[mode.name] = True
                    for name, text in braces(names, outcome):
                        key = mode.name, name
                        checks.check(f"expected.txt:{number}: {name} once", key not in expected)
                        expected[key] = mode.render(text)
    return modes, expected


def completeness(lines, modes, expected):
    """`lines`: those of sensitive_rows.c.  Gives the pairs of a mode and a row that have a probe."""
    exists, met = {}, set()
    for words in map(str.split, lines):
        if words[0] == "row":
            exists[words[1]] = words[2:]
    for words in map(str.split, lines):
        if words[0] != "probe":
            continue
        bits, mask, name, row = words[1:]
        named, where = name.split(".")[0], "64" if bits == "64" else "legacy"
        checks.check(f"{name} is named after a sensitive row", named in exists or named in NO_ROW)
        if where in exists.get(named, ()):
            checks.check(f"{name}, {bits} bits: its instruction", row == named, f"is {row}")
        for number, mode in enumerate(modes):
            if int(mask, 16) >> number & 1 and (mode.bits == int(bits)):
                met.add((mode.name, row))
                checks.check(f"{mode.name} {name}: in expected.txt", (mode.name, name) in expected)
    for row, where in exists.items():
        for mode in modes:
            if ("64" if mode.long else "legacy") in where:
                checks.check(f"{mode.name}: {row} is met", (mode.name, row) in met, "no probe")
    return {(mode, row) for mode, row in met if row in exists}


def compare(engine, text, expected):
    where = " ".join(engine)
    lines = text.replace("\r", "").splitlines()
    checks.check(f"{where}: ran to the end", "all done" in lines, "\n".join(lines[-3:]))
    seen = {}
    for line in lines:
        words = line.split(" ", 2)
        if len(words) == 3 and (words[0], words[1]) in expected:
            checks.check(f"{where}: {words[0]} {words[1]} once", (words[0], words[1]) not in seen, line)
            seen[words[0], words[1]] = words[2]
        elif "." in line or line.startswith("round"):
            checks.check(f"{where}: an expected line", False, line)
    for key, outcome in expected.items():
        checks.check(f"{where}: {' '.join(key)}", seen.get(key) == outcome,
                     f"\n    expected {outcome}\n    saw      {seen.get(key)}")


def callouts(report, modes, met):
    """Each sensitive row with a probe was rewritten and ran, says the log of -d callout."""
    columns, sites, runs = [], {}, {}
    for words in map(str.split, report.splitlines()):
        if words[0] == "row":
            columns = words[1:-2]
        elif columns:
            sites[words[0]] = dict(zip(columns, map(int, words[2:-2])))
            runs[words[0]] = int(words[-1])
    checks.check("the report's columns", columns == list(COLUMNS), report[:400])
    for column, patterns in COLUMNS.items():
        names = {mode.name for mode in chosen(patterns, modes)}
        for row in sorted({row for mode, row in met if mode in names}):
            checks.check(f"{row} is rewritten in mode {column}", sites.get(row, {}).get(column), sites.get(row))
    for row in sorted({row for _, row in met}):
        checks.check(f"{row} ran as a callout", runs.get(row), sites.get(row))


def main():
    ring3, list_rows, guest, table = map(os.path.abspath, sys.argv[1:5])
    modes, expected = read_expected(table)
    status, out, err = run([list_rows, guest, MODEL])
    checks.check("rows and probes", status == 0 and "probe" in out, err)
    met = completeness(out.splitlines(), modes, expected)
    with tempfile.TemporaryDirectory(prefix="ring3-sensitive-") as scratch:
        log = os.path.join(scratch, "log")
        for engine in ENGINES:
            status, out, err = run([ring3, *engine, "-kernel", guest, "-cpu", MODEL, "-display", "none",
                                    "-serial", "stdio", "-monitor", "none", "-no-reboot", "-d", "callout", "-D", log],
                                   seconds=300)
            checks.check(f"{' '.join(engine)}: ends", status == 0, f"{status} {err}")
            compare(engine, out, expected)
        with open(log, encoding="utf-8") as file:  # of the last engine, which translates at once
            callouts(file.read(), modes, met)
    checks.end()


main()
