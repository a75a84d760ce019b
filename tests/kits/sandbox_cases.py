"""What sandboxed children do in the tests: everything that hostile bytes might make a reader do."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from vmie_tui.model.errors import ErrorKind
from vmie_tui.model.plan import Route
from vmie_tui.services import image_sources
from vmie_tui.services.disks.errors import DiskFormatError
from vmie_tui.services.disks.sandbox.client import Limits, in_child
from vmie_tui.services.disks.sandbox.wire import ANSWER, Wire
from vmie_tui.services.disks.streams.source import ByteReader
from vmie_tui.services.image_sources import Described


@in_child(Limits(cpu=1))
def spin() -> None:
    while True:
        pass


@in_child(Limits(memory=1 << 28))
def swell() -> int:
    return len(bytearray(1 << 29))


@in_child(Limits(wall=0.3))
def sleep() -> None:
    time.sleep(60)


@in_child()
def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@in_child()
def fail() -> None:
    raise KeyError("an error that nobody foresaw")


@in_child()
def refuse() -> None:
    raise DiskFormatError(ErrorKind.CORRUPT, "is damaged", subject="disk.vmdk", remedy="Export it again", code="E04")


@in_child()
def write(path: Path) -> None:
    with path.open("wb") as file:
        file.write(bytes(10))


@in_child()
def environment() -> dict[str, str]:
    return dict(os.environ)


@in_child()
def connect(port: int) -> str:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError as error:
        return type(error).__name__
    return ""


@in_child()
def read(reader: ByteReader, offset: int, length: int) -> str:
    return reader.read_at(offset, length).hex()


@in_child()
def sums(readers: Sequence[ByteReader]) -> list[int]:
    return [sum(reader.read_at(0, reader.size)) for reader in readers]


@in_child()
def read_for_ever(reader: ByteReader) -> None:
    while True:
        reader.read_at(0, 512)


def _wires() -> list[Wire]:
    """The connection to the caller, as a reader that was taken over would find it."""
    found = []
    for path in list(Path("/dev/fd").iterdir()):
        try:
            found.append(Wire(socket.socket(fileno=os.dup(int(path.name)))))
        except OSError:
            continue
    return found


@in_child()
def lie(answer: str) -> list[int]:
    for wire in _wires():
        wire.send(ANSWER, answer.encode())
    time.sleep(60)
    return []


@in_child()
def babble() -> list[int]:
    for wire in _wires():
        wire._sock.sendall(b"\xff" * 4096)
    time.sleep(60)
    return []


@in_child(Limits(cpu=1))
def describe_slowly(files: Sequence[Path], raw: bool, look: bool, route: Route) -> Described:
    """A container that is read well, with a guest that is never done."""
    while look:
        pass
    return image_sources._describe_files(files, raw, look, route)


@in_child(Limits(cpu=1))
def describe_never(files: Sequence[Path], raw: bool, look: bool, route: Route) -> Described:
    while True:
        pass


@in_child(Limits(cpu=1))
def open_never(path: Path, raw: bool) -> None:
    while True:
        pass
