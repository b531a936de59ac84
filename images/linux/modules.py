#!/usr/bin/env python3
"""Chooses kernel modules with all that they depend on, in an order in which they can be loaded.

    modules.py FOLDER SCRATCH NAME...

Prints lines for mkinitramfs.py: the modules under /lib/modules, and /ring3/modules, which names them
in order.  A name that the kernel does not have as a module (it is built in, or not there) is passed
over.
"""
import os
import sys


def find(folder):
    found = {}
    for path, _, files in os.walk(folder):
        for name in files:
            if name.endswith(".ko"):
                found[name[:-3].replace("-", "_")] = os.path.join(path, name)
    return found


def dependencies(path):
    with open(path, "rb") as file:
        data = file.read()
    at = data.find(b"\0depends=")
    if at < 0:
        return []
    names = data[at + 9:data.index(b"\0", at + 9)].decode()
    return [name.replace("-", "_") for name in names.split(",") if name]


def main():
    folder, scratch, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
    found = find(folder)
    order = []

    def add(name):
        if name in order or name not in found:
            return
        for other in dependencies(found[name]):
            add(other)
        order.append(name)

    for name in wanted:
        add(name.replace("-", "_"))
    with open(os.path.join(scratch, "modules"), "w", encoding="ascii") as file:
        file.write("".join(name + "\n" for name in order))
    print(f"file /ring3/modules 644 {scratch}/modules")
    for name in order:
        print(f"file /lib/modules/{name}.ko 644 {found[name]}")


main()
