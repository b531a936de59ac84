"""For the tests that are scripts: counts checks, says each failure, ends in "N passed, N failed"."""
import hashlib
import os
import sys


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, condition, detail=""):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {detail}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


def tree(folder):
    """Names, kinds, times and contents of all below a folder: what must not change."""
    found = {}
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            full = os.path.join(path, name)
            status = os.lstat(full)
            contents = ""
            if os.path.isfile(full) and os.access(full, os.R_OK):
                with open(full, "rb") as file:
                    contents = hashlib.sha256(file.read()).hexdigest()
            found[full] = (status.st_mode, status.st_size, status.st_mtime_ns, contents)
    return found
