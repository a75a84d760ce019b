"""In a real terminal: how it is left, and how little is sent over the line."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kits.waiting import wait_until

ROOT = Path(__file__).parents[2]
OF_ITS_OWN = (
    "import fcntl, runpy, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "runpy.run_module('tests.kits.terminal_app', run_name='__main__')"
)


class Terminal:
    """The app in a pseudo terminal of 80x24 and 256 colours; all it writes is kept."""

    def __init__(self, *, own_session: bool = False) -> None:
        """``own_session``: the kernel itself sends SIGHUP, as to what runs in a terminal without a shell."""
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
        program = ["-c", OF_ITS_OWN] if own_session else ["-m", "tests.kits.terminal_app"]
        self.process = subprocess.Popen(
            [sys.executable, *program],
            stdin=side,
            stdout=side,
            stderr=side,
            env=env,
            cwd=ROOT,
            start_new_session=own_session,
        )
        os.close(side)
        self._main = main
        self._got, self._gone = bytearray(), threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while not self._gone.is_set():
                if select.select([self._main], [], [], 0.01)[0]:
                    self._got += os.read(self._main, 65536)

    @property
    def text(self) -> str:
        return bytes(self._got).decode("utf-8", "replace")

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.text, what=f"{words!r} on the terminal")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def sent(self) -> int:
        return len(self._got)

    def type(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def close(self) -> None:
        """The terminal goes away. Its reader lets go first: a descriptor that is being read stays open."""
        self._gone.set()
        self._reader.join()
        os.close(self._main)


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


def _started(_terminal: Terminal) -> None:
    """Nothing is waited for: Python itself is still starting."""


def _drawing(terminal: Terminal) -> None:
    terminal.wait_for("\x1b[?1049h")


def _at_work(terminal: Terminal) -> None:
    terminal.wait_for("12 VMs")


def _on_another_screen(terminal: Terminal) -> None:
    terminal.wait_for("12 VMs")
    terminal.type(b"2")
    terminal.wait_for("Progress")


def _left(terminal: Terminal) -> None:
    terminal.wait_for("12 VMs")
    terminal.type(b"q")


def _gone_from_the_screen(terminal: Terminal) -> None:
    _left(terminal)
    terminal.wait_for("\x1b[?1049l")


MOMENTS = (_started, _drawing, _at_work, _on_another_screen, _left, _gone_from_the_screen)


@pytest.mark.parametrize("own_session", [False, True], ids=["without a signal", "with the kernel's SIGHUP"])
def test_nothing_is_left_of_an_app_whose_terminal_goes_away(own_session: bool) -> None:
    """At each moment of start, work and leaving; all at once, so that the processor is busy."""
    running = [Terminal(own_session=own_session) for _ in MOMENTS]

    def take_away(terminal: Terminal, moment: Callable[[Terminal], None]) -> bool:
        moment(terminal)
        terminal.close()
        with suppress(subprocess.TimeoutExpired):
            terminal.process.wait(20)
        return terminal.process.returncode is None

    try:
        with ThreadPoolExecutor(len(MOMENTS)) as pool:
            stays = list(pool.map(take_away, running, MOMENTS))
    finally:
        for terminal in running:
            terminal.process.kill()
            terminal.process.wait()
    assert [moment.__name__ for moment, stayed in zip(MOMENTS, stays, strict=True) if stayed] == []
