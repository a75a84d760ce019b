"""Ends a program of the screen whose terminal has gone away, whatever it is doing at that moment.

Nothing else does so at every moment. SIGHUP goes to the shell's processes only, and not every shell passes it on; while
the app leaves it is taken, and nothing comes of it. Textual's input thread then reads end after end from a terminal
that was hung up, and its output waits for a writer that has died: such a process stays, at a whole core.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
import time

GRACE_SECONDS = 1.0  # for an orderly end; two in all, on a busy machine too
_watching: list[threading.Thread] = []


def watch_terminal() -> None:
    """From now on this process ends when its terminal goes away. Harmless without a terminal, and when called again."""
    if _watching or sys.__stdin__ is None:
        return
    terminal = os.dup(sys.__stdin__.fileno())
    if not stat.S_ISCHR(os.fstat(terminal).st_mode):  # isatty() is false for a terminal that has gone already
        os.close(terminal)
        return
    thread = threading.Thread(target=_watch, args=(terminal,), name="hang-up", daemon=True)
    _watching.append(thread)
    thread.start()


def _watch(terminal: int) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # hang-ups and errors are told without being asked for
    if any(event & select.POLLNVAL for _fd, event in poll.poll()):
        return  # a system that cannot watch terminals like this
    os.kill(os.getpid(), signal.SIGHUP)  # the app leaves; what has no handler, as before it and behind it, is gone
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGHUP)
