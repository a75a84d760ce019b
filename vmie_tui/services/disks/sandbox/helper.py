"""The sandbox's helper process, and the children it forks: imports once, has one thread, holds no secret."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from vmie_tui.services.disks.sandbox import client
from vmie_tui.services.disks.sandbox.wire import Wire

IDLE_SECONDS = 300.0  # without a request the helper leaves; the next look starts another
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # of Linux' unshare


def main(control: int, modules: Sequence[str]) -> NoReturn:
    """Import ``modules``; then fork a child for each request, until the other end of the socket ``control`` closes."""
    for module in modules:
        with contextlib.suppress(ImportError):  # a child that needs it says so
            importlib.import_module(module)
    os.umask(0o077)
    _limit(resource.RLIMIT_CORE, 0)
    _without_network()
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    children: dict[int, int] = {}
    with socket.socket(fileno=control) as sock:
        while True:
            ready, _, _ = select.select([control, woken], [], [], None if children else IDLE_SECONDS)
            if woken in ready:
                os.read(woken, 4096)
            _reap(children)
            if not ready:
                os._exit(0)
            if control in ready:
                try:
                    said, fds, _, _ = socket.recv_fds(sock, 1, 2)
                except OSError:
                    said, fds = b"", []
                if not said:
                    os._exit(0)
                if len(fds) == 2:
                    _fork(fds[0], fds[1], [control, woken, wake, *children.values()], children)


def _reap(children: dict[int, int]) -> None:
    for pid, telling in list(children.items()):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with contextlib.suppress(OSError):
                os.write(telling, f"{status}\n".encode())
            os.close(telling)
            del children[pid]


def _fork(talk: int, telling: int, others: list[int], children: dict[int, int]) -> None:
    try:
        pid = os.fork()
    except OSError:  # the caller sees that nothing was started
        os.close(talk)
        os.close(telling)
        return
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (*others, telling):
            os.close(fd)
        _child(talk)
    os.close(talk)
    children[pid] = telling
    with contextlib.suppress(OSError):
        os.write(telling, f"{pid}\n".encode())


def _child(talk: int) -> NoReturn:
    """One piece of work, under its limits."""
    code = 1
    try:
        with Wire(socket.socket(fileno=talk)) as wire:
            _, data = wire.receive()
            request = json.loads(data)
            with contextlib.suppress(OSError):  # where it cannot be entered, relative paths name nothing
                os.chdir(request["folder"])
            cpu, memory, files = request["limits"]
            _limit(resource.RLIMIT_CPU, cpu, cpu + 1)  # at the lower one SIGXCPU, which tells what it was
            _limit(resource.RLIMIT_AS, memory)
            _limit(resource.RLIMIT_NOFILE, files)
            _limit(resource.RLIMIT_FSIZE, 0)
            client.answer(wire, request)
        code = 0
    except (EOFError, OSError, ValueError, MemoryError):
        pass  # the caller is gone, or sees by the end that there is no answer
    finally:
        os._exit(code)


def _limit(what: int, most: int, hardest: int | None = None) -> None:
    """The limit of this process, or a lower one that it has already; not every system knows each of them."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(what)
        wanted = most if hardest is None else hardest
        hard = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (min(most, hard), hard))


def _without_network() -> None:
    """Leave the network, where the system lets us; root stays root, to read what only root may."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER)
