"""The protocol between caller and sandboxed child: frames of kind, length and bytes; never pickled objects."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator

from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError, VmieError
from vmie_tui.services.disks.errors import DiskFormatError

REQUEST, READ, BYTES, FAILED, ANSWER, UNFORESEEN = b"Q", b"R", b"B", b"F", b"A", b"U"
PART = 1 << 20  # bytes of one read; larger ones are made of several
LARGEST_READ = PART
SEND_SECONDS = 60.0  # for an other end that does not take what it asked for
LARGEST = 16 << 20  # bytes of a frame
_HEAD, _READ = struct.Struct("<cI"), struct.Struct("<HQI")


class Wire(Closing):
    """One end. Use as a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, what: bytes, data: bytes) -> None:
        """Raises OSError when the other end is gone, ValueError for a frame that is too large."""
        if len(data) > LARGEST:
            raise ValueError(f"{len(data)} bytes are too many")
        self._sock.settimeout(SEND_SECONDS)
        self._sock.sendall(_HEAD.pack(what, len(data)) + data)

    def receive(self, seconds: float | None = None) -> tuple[bytes, bytes]:
        """(kind, bytes). Raises EOFError, TimeoutError, OSError, and ValueError for what is no frame."""
        ends = None if seconds is None else time.monotonic() + seconds
        what, length = _HEAD.unpack(self._exactly(_HEAD.size, ends))
        if what not in {REQUEST, READ, BYTES, FAILED, ANSWER, UNFORESEEN} or length > LARGEST:
            raise ValueError("no frame")
        return what, self._exactly(length, ends)

    def ask(self, what: bytes, number: int, offset: int, length: int) -> tuple[bytes, bytes]:
        self.send(what, _READ.pack(number, offset, length))
        return self.receive()

    def _exactly(self, length: int, ends: float | None) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._sock.settimeout(None if ends is None else max(ends - time.monotonic(), 0.001))
            piece = self._sock.recv(min(length - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def close(self) -> None:
        self._sock.close()


def far_read(data: bytes) -> tuple[int, int, int]:
    """(number of the reader, offset, length) of a READ. Raises ``DiskFormatError`` for nonsense."""
    if len(data) != _READ.size:
        raise DiskFormatError(ErrorKind.CORRUPT, "its reader asked for nonsense")
    number, offset, length = _READ.unpack(data)
    return number, offset, length


def pack_error(error: VmieError) -> bytes:
    """Serialises an error with the names of its classes, most specific first."""
    names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, VmieError)]
    return json.dumps({"classes": names, "problem": error.problem.to_json()}).encode()


def unpack_error(data: bytes) -> ServiceError:
    """Restores an error as the most specific class known here. ``DiskFormatError`` for malformed data."""
    try:
        said = json.loads(data)
        problem = Problem.from_json(said["problem"])
        texts: tuple[str, ...] = (problem.what, problem.subject, problem.remedy, problem.code, problem.detail)
        texts += problem.facts + problem.causes
        if not all(isinstance(text, str) for text in texts) or not isinstance(problem.retry_safe, bool):
            raise TypeError("no text")  # noqa: TRY301 - one answer to all nonsense
        known = {kind.__name__: kind for kind in _kinds(ServiceError)}
        for name in said["classes"]:
            with contextlib.suppress(KeyError, TypeError):  # unknown here, or made of something else than a problem
                return known[name].of(problem)
        return ServiceError.of(problem)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DiskFormatError(ErrorKind.CORRUPT, "its reader gave an answer that makes no sense") from error


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)
