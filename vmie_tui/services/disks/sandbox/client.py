"""Calls functions in a sandboxed child process: foreign bytes that break a parser there break nothing else.

A function marked with `in_child` runs in a child with limits on processor time, memory and open files, without secrets
in its environment and, where the system allows it, without a network. Its arguments and its result are plain data; a
`ByteReader` among the arguments stays with the caller, whom the child asks for byte ranges. Children are forked from
a helper process with a single thread that has imported the functions' modules, so that a child costs some milliseconds;
the helper is started when it is first needed, and ends with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import vmie_tui
from vmie_tui.model import site_facts
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.plain_data import UnfitError, decode, encode
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.sandbox.wire import (
    ANSWER,
    BYTES,
    FAILED,
    LARGEST_READ,
    PART,
    READ,
    REQUEST,
    UNFORESEEN,
    Wire,
    far_read,
    pack_error,
    unpack_error,
)
from vmie_tui.services.disks.streams.source import ByteReader

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("vmie_tui.sandbox")
_INSIDE = False  # whether this process is such a child itself
_PROGRAM = (  # with our own paths, whatever way this process was started
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from vmie_tui.services.disks.sandbox.helper import main; main(int(sys.argv[1]), json.loads(sys.argv[3]))"
)
_MODULES: set[str] = set()  # that have functions for children: the helper imports them once, so that no child has to
KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", site_facts.VARIABLE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The resource limits of a child; the caller's reads on its behalf do not count."""

    cpu: int = 5  # seconds of processor time
    memory: int = 1 << 29  # bytes of address space
    wall: float = 60.0  # seconds
    files: int = 256  # open at once


OPENING = Limits(cpu=20, memory=1 << 30)  # for all of an image, whose tables may be large


class UnfinishedError(DiskFormatError):
    """The child did not finish (kind CORRUPT): the limit it hit, or how it died."""


def in_child(limits: Limits = Limits()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run the function in a child. Its arguments and its result are plain data (`plain_data`), or a `ByteReader`.

    It raises what the function raises of this package's errors, what a reader of the caller raises, and
    `UnfinishedError`. Within a child it is an ordinary call.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        _MODULES.add(function.__module__)

        @functools.wraps(function)
        def wrapper(*args: P.args, **named: P.kwargs) -> R:
            if _INSIDE:
                return function(*args, **named)
            return typing.cast(R, _run(function, limits, args, named))

        return wrapper

    return mark


@functools.lru_cache(maxsize=64)
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


# -- the caller's side


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}


def tried(work: Callable[[], object]) -> None:
    """Do in a child, by ``work``, what is then done in this process: raises `UnfinishedError` alone.

    Any other error comes again, in its turn, from the work itself.
    """
    try:
        work()
    except UnfinishedError:
        raise
    except ServiceError as error:
        if error.kind is ErrorKind.CANCELLED:
            raise


def _folder() -> str:
    """The working directory of the child; the root if this process's own no longer exists."""
    try:
        return str(Path.cwd())
    except OSError:
        return "/"


def _run(function: Callable[..., Any], limits: Limits, args: Sequence[Any], named: dict[str, Any]) -> Any:
    readers: list[ByteReader] = []

    def keep(value: Any) -> Any:
        if not (hasattr(value, "read_at") and hasattr(value, "size")):
            return None
        readers.append(value)
        return {"reader": len(readers) - 1, "size": value.size}

    request = {
        "module": function.__module__,
        "function": function.__qualname__,
        "environment": _environment(),
        "folder": _folder(),
        "limits": [limits.cpu, limits.memory, limits.files],
        "args": encode(list(args), keep),
        "named": encode(named, keep),
    }
    task = _Task(request, readers, limits, _hints(function)["return"])
    for attempt in (1, 2):
        try:
            with _HELPER.child() as (wire, ending):
                return _served(wire, ending, task)
        except _NotStartedError:  # the helper had just ended, or was killed
            _HELPER.close()
            if attempt == 2:
                raise _no_child("it ended at once") from None
    raise AssertionError


@dataclass(frozen=True, slots=True)
class _Task:
    """One call for a child."""

    request: dict[str, Any]
    readers: Sequence[ByteReader]
    limits: Limits
    result: Any  # type of the answer


def _served(wire: Wire, ending: _Ending, task: _Task) -> Any:
    """Answer the child's reads until it is done."""
    limits, left = task.limits, task.limits.wall
    raised: ServiceError | None = None
    wire.send(REQUEST, json.dumps(task.request).encode())
    while True:
        since = time.monotonic()
        try:
            what, data = wire.receive(max(left, 0.001))
        except TimeoutError:
            ending.kill()
            raise _unfinished(f"reading it did not end within {limits.wall:.0f} seconds") from None
        except (OSError, EOFError, ValueError) as error:
            raise ending.reason(limits, error) from None
        left -= time.monotonic() - since
        if what == READ:
            try:
                reply, told = BYTES, _read(task.readers, data)
            except ServiceError as error:
                raised, reply, told = error, FAILED, pack_error(error)
            try:
                wire.send(reply, told)
            except OSError as error:
                raise ending.reason(limits, error) from None
        elif what == ANSWER:
            try:
                return decode(task.result, json.loads(data))
            except (UnfitError, ValueError, RecursionError) as error:
                raise _unfinished(f"its reader gave an answer that makes no sense ({error})"[:200]) from None
        elif what == FAILED:
            failure = unpack_error(data)
            raise raised if raised is not None and raised.problem == failure.problem else failure
        elif what == UNFORESEEN:
            words, _, trace = data.decode("utf-8", "replace").partition("\n")
            _log.error("the reader of foreign bytes failed: %s", trace)
            raise _unfinished(words[:200])


def _read(readers: Sequence[ByteReader], data: bytes) -> bytes:
    number, offset, length = far_read(data)
    if number >= len(readers) or length > LARGEST_READ:
        raise DiskFormatError(ErrorKind.CORRUPT, "a structure that is larger than any that makes sense")
    return bytes(readers[number].read_at(offset, length))


def _unfinished(what: str) -> UnfinishedError:
    return UnfinishedError(
        ErrorKind.CORRUPT,
        what,
        remedy="Check the image with the program that made it, or export the disk again",
    )


def _no_child(why: str) -> ServiceError:
    return ServiceError(
        ErrorKind.LOCAL,
        "no process could be started to look into it",
        remedy="Check the memory and the processes of this machine, then try again",
        retry_safe=True,
        detail=why,
    )


class _NotStartedError(Exception):
    """No child was made of the request."""


class _Ending:
    """How the child ends, as the helper tells by a pipe: its pid first, then its wait status."""

    def __init__(self, fd: int) -> None:
        self._fd, self._said = fd, b""
        self._pid: int | None = None

    def started(self) -> None:
        """Wait for the pid. Raises `_NotStartedError`."""
        while b"\n" not in self._said:
            piece = os.read(self._fd, 64)
            if not piece:
                raise _NotStartedError
            self._said += piece
        self._pid = int(self._said.partition(b"\n")[0])

    def kill(self) -> None:
        if self._pid is not None and self._said.count(b"\n") < 2:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, signal.SIGKILL)

    def reason(self, limits: Limits, error: Exception) -> VmieError:
        """The error for a child that exited without a response."""
        self.kill()  # one that talks nonsense is still there
        while piece := os.read(self._fd, 64):
            self._said += piece
        words = self._said.split(b"\n")
        status = int(words[1]) if len(words) > 2 else 0
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number == signal.SIGXCPU:
            return _unfinished(f"reading it took more than {limits.cpu} seconds of processor time")
        if number == signal.SIGKILL and isinstance(error, EOFError):
            return _unfinished("the process that read it was killed; this machine may be short of memory")
        name = signal.Signals(number).name if number else "no answer"
        return _unfinished(f"the process that read it crashed ({name})")


class _Helper:
    """The process that children are forked from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @contextlib.contextmanager
    def child(self) -> Iterator[tuple[Wire, _Ending]]:
        """A new child; what it still does is cut off when the context is left."""
        ours, theirs = socket.socketpair()
        told, telling = os.pipe()
        ending = _Ending(told)
        try:
            with theirs:
                try:
                    self._ask(theirs, telling)
                finally:
                    os.close(telling)
            ending.started()
            with Wire(ours) as wire:
                try:
                    yield wire, ending
                except BaseException:
                    ending.kill()
                    raise
        finally:
            ours.close()
            os.close(told)

    def _ask(self, theirs: socket.socket, telling: int) -> None:
        with self._lock:
            control = self._started()
            try:
                socket.send_fds(control, [b"+"], [theirs.fileno(), telling])
            except OSError as error:
                raise _NotStartedError from error

    def _started(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._end()
        ours, theirs = socket.socketpair()
        root = str(Path(vmie_tui.__file__).resolve().parents[1])
        path = json.dumps([root, *(entry for entry in sys.path if entry and Path(entry).is_absolute())])
        modules = json.dumps(sorted(_MODULES.copy()))
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - this very program
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno()), path, modules],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd="/",
                )
        except OSError as error:
            ours.close()
            raise _no_child(error.strerror or str(error)) from error
        self._control = ours
        return ours

    def forget(self) -> None:
        """In a fork: the helper is its parent's."""
        self._lock, self._process, self._control = threading.Lock(), None, None

    def close(self) -> None:
        """Ends the helper; the next call starts another."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


_HELPER = _Helper()
atexit.register(_HELPER.close)
os.register_at_fork(after_in_child=_HELPER.forget)


# -- the child's side


class SandboxedReader:
    """A reader that the caller has; each read asks for it."""

    def __init__(self, wire: Wire, number: int, size: int) -> None:
        self._wire, self._number, self._size = wire, number, size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer only at the end. Raises what the caller's reader raises."""
        parts = []
        length = max(0, min(length, self._size - offset)) if offset >= 0 else 0
        while length:
            step = min(length, PART)
            what, data = self._wire.ask(READ, self._number, offset, step)
            if what == FAILED:
                raise unpack_error(data)
            parts.append(data)
            if len(data) != step:
                break
            offset, length = offset + step, length - step
        return parts[0] if len(parts) == 1 else b"".join(parts)


def answer(wire: Wire, request: dict[str, Any]) -> None:
    """In the child: runs the request and sends the response."""
    global _INSIDE  # noqa: PLW0603 - a fact about this process
    _INSIDE = True
    os.environ.clear()
    os.environ.update(request["environment"])
    try:
        module = importlib.import_module(request["module"])
        function = functools.reduce(getattr, request["function"].split("."), module).__wrapped__
        hints = _hints(function)

        def near(kind: Any, data: Any) -> Any:
            return SandboxedReader(wire, data["reader"], data["size"]) if kind is ByteReader else None

        names = function.__code__.co_varnames
        args = [decode(hints[name], value, near) for name, value in zip(names, request["args"], strict=False)]
        named = {name: decode(hints[name], value, near) for name, value in request["named"].items()}
        result = json.dumps(encode(function(*args, **named))).encode()
    except VmieError as error:
        wire.send(FAILED, pack_error(error))
    except MemoryError:
        limit = request["limits"][1] >> 20
        wire.send(UNFORESEEN, f"reading it took more than {limit} MiB of memory".encode())
    except Exception as error:  # noqa: BLE001 - whatever it is, these bytes brought it about
        import traceback

        words = f"its reader met what it does not expect ({type(error).__name__})"
        wire.send(UNFORESEEN, f"{words}\n{traceback.format_exc()}".encode("utf-8", "replace"))
    else:
        wire.send(ANSWER, result)
