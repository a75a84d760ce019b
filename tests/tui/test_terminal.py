"""In a real terminal: how it is left, and how little is sent over the line."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]


class Terminal:
    """The app in a pseudo terminal of 80x24 and 256 colours; all it writes is kept."""

    def __init__(self) -> None:
        main, side = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.tui.pty_app"]
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=env, cwd=ROOT)
        os.close(side)
        self._main = main
        self._got = bytearray()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self._main, 65536):
                self._got += data

    @property
    def text(self) -> str:
        return bytes(self._got).decode("utf-8", "replace")

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.text, what=f"{words!r} on the terminal")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def sent(self) -> int:
        return len(self._got)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    running = Terminal()
    yield running
    running.process.kill()
    running.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_the_terminal_as_it_was(terminal: Terminal, number: signal.Signals) -> None:
    terminal.wait_for("12 VMs")
    assert "\x1b[?1049h" in terminal.text
    terminal.signal(number)
    assert terminal.process.wait(20) == 128 + number
    terminal.wait_for("\x1b[?1049l")
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_eight_transfers_send_at_most_two_kilobytes_a_second(terminal: Terminal) -> None:
    terminal.wait_for("12 VMs")
    terminal.signal(signal.SIGUSR2)
    terminal.wait_for("Progress")
    terminal.wait_for("lease ready")
    steps, before = 20, terminal.sent()
    for _ in range(steps):  # ten seconds of two polls each
        seen = terminal.sent()
        terminal.signal(signal.SIGUSR1)
        wait_until(lambda seen=seen: terminal.sent() > seen, what="a repaint")
    spent = terminal.sent() - before
    assert spent / (steps / 2) <= 2000, f"{spent} bytes in {steps / 2} s"
