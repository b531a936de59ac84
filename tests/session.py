"""Runs ring3 as a person would: on a pseudo-terminal, or with pipes, with a time limit on all."""
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

LIMIT = 60


class Session:
    """ring3 on a terminal of its own."""

    def __init__(self, command):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True,
                                        preexec_fn=self.take_terminal)
        self.text = ""
        self.at = 0

    def take_terminal(self):
        # The terminal becomes the controlling one, so that job control is as in a shell.
        os.close(os.open(os.ttyname(0), os.O_RDWR))

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                return False
        return bool(ready)

    def expect(self, pattern, seconds=LIMIT):
        """Waits for the pattern in what came since the last one; None when it does not come."""
        end = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self.text, self.at)
            if found:
                self.at = found.end()
                return found
            if time.monotonic() > end or (self.process.poll() is not None and not self.read(0.1)):
                return None
            self.read(0.2)

    def ask(self, line, prompt=r"\(ring3\) $"):
        """Types a monitor command; gives its answer."""
        self.type(line + "\r")
        self.at = len(self.text)
        end = time.monotonic() + 20
        # The echo of the line comes first, then the answer, then the prompt.
        while time.monotonic() < end:
            rest = self.text[self.at:]
            if re.search(re.escape(line) + r"\r*\n", rest) and re.search(prompt, rest):
                break
            if not self.read(0.2) and self.process.poll() is not None:
                break
        answer = self.text[self.at:]
        self.at = len(self.text)
        return answer.replace("\r", "")

    def wait(self, seconds=LIMIT):
        """The exit status, or None when it does not end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.05)
            if self.process.poll() is not None:
                return self.process.returncode
        return None

    def terminal_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def run(command, seconds=LIMIT, stdin=b"", **more):
    """Runs to the end; (status, stdout, stderr), status None when it takes too long."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds, check=False,
                              **more)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace"), (late.stderr or b"").decode(errors="replace")
