#!/usr/bin/env python3
"""Writes an initramfs (cpio, "newc") from a list on standard input; needs no root, and the same list
gives the same bytes.

    dir NAME MODE
    file NAME MODE SOURCE
    link NAME TARGET
    node NAME MODE c|b MAJOR MINOR

Names are absolute, without spaces; the folders above a name are made.
Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""
import os
import stat
import sys

CHUNK = 4


class Archive:
    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.written = 0
        self.seen = set()

    def put(self, data):
        self.out.write(data)
        self.written += len(data)

    def pad(self):
        self.put(b"\0" * (-self.written % CHUNK))

    def entry(self, name, mode, data=b"", major=0, minor=0):
        encoded = name.lstrip("/").encode() + b"\0"
        self.inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(encoded), 0)
        self.put(b"070701" + b"".join(b"%08X" % field for field in fields))
        self.put(encoded)
        self.pad()
        self.put(data)
        self.pad()

    def folder(self, name, mode=0o755):
        name = "/" + name.strip("/")
        if name == "/" or name in self.seen:
            return
        self.folder(os.path.dirname(name))
        self.seen.add(name)
        self.entry(name, stat.S_IFDIR | mode)

    def line(self, words):
        kind, name, rest = words[0], words[1], words[2:]
        if kind == "dir":
            self.folder(name, int(rest[0], 8))
            return
        self.folder(os.path.dirname(name))
        if kind == "file":
            with open(rest[1], "rb") as source:
                self.entry(name, stat.S_IFREG | int(rest[0], 8), source.read())
        elif kind == "link":
            self.entry(name, stat.S_IFLNK | 0o777, rest[0].encode())
        elif kind == "node":
            kinds = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}
            self.entry(name, kinds[rest[1]] | int(rest[0], 8), b"", int(rest[2]), int(rest[3]))
        else:
            raise ValueError("no such kind of line")

    def end(self):
        self.inode = -1
        self.entry("TRAILER!!!", 0)
        self.put(b"\0" * (-self.written % 512))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: mkinitramfs.py OUTPUT < LIST")
    temporary = sys.argv[1] + ".part"
    with open(temporary, "wb") as out:
        archive = Archive(out)
        for number, line in enumerate(sys.stdin, 1):
            words = line.split()
            if not words:
                continue
            try:
                archive.line(words)
            except (ValueError, KeyError, IndexError, OSError) as problem:
                os.unlink(temporary)
                sys.exit(f"mkinitramfs.py: line {number}: {line.strip()}: {problem}")
        archive.end()
    os.replace(temporary, sys.argv[1])


main()
